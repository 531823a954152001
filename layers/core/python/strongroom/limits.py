"""Every bound of the system, in one place (design.md section 5, invariant 7).

A name ends in its unit. The relations between the bounds are checked at the end of the module, so
that a changed bound which contradicts another one fails at import.
"""

from typing import Final

# What a client may send.
ENTITY_BYTES_MAX: Final = 4 * 1024 * 1024
MESSAGE_BYTES_MAX: Final = ENTITY_BYTES_MAX + 64 * 1024
MESSAGE_PARTS_MAX: Final = 100_000
ENTITY_KEY_BYTES_MAX: Final = 512
ENTITIES_PER_REQUEST_MAX: Final = 100
NESTING_DEPTH_MAX: Final = 64
MEMBERS_MAX: Final = 250_000
NUMBER_DIGITS_MAX: Final = 1_000
NUMBER_EXPONENT_MAX: Final = 1_000
REQUEST_ID_CHARS_MAX: Final = 128
TRACEPARENT_CHARS_MAX: Final = 256
TRACESTATE_CHARS_MAX: Final = 512
ENTITY_TAGS_MAX: Final = 100
IDEMPOTENCY_KEY_CHARS_MAX: Final = 128
EXPRESSION_CHARS_MAX: Final = 4_096
EVALUATION_STEPS_MAX: Final = 250_000
PATCH_OPERATIONS_MAX: Final = 1_000
COMPRESSED_BYTES_MIN: Final = 2 * 1024
PAGE_SIZE: Final = 100
PAGE_SIZE_MAX: Final = 1_000
PAGE_BYTES_MAX: Final = ENTITY_BYTES_MAX
ITEM_OVERHEAD_BYTES: Final = 256
CURSOR_CHARS_MAX: Final = 512
TOKEN_CHARS_MAX: Final = 4_096
METADATA_BYTES_MAX: Final = 16 * 1024
VIOLATIONS_REPORTED_MAX: Final = 50
VIOLATION_CHARS_MAX: Final = 1_024
EXPLAINED_BYTES_MAX: Final = 64 * 1024
VERDICTS_BYTES_MAX: Final = 512 * 1024
GRANTS_MAX: Final = 100
TTL_SECONDS_MAX: Final = 10 * 365 * 24 * 3600

# What tells of a process, and to whom at a time.
METRIC_SERIES_MAX: Final = 1_000
METRICS_CONNECTIONS_MAX: Final = 8
METRICS_HEAD_BYTES_MAX: Final = 8 * 1024
METRICS_SECONDS: Final = 5.0

# What Lambda answers with at most, as JSON text, and what of it is sent as it is.
LAMBDA_ANSWER_BYTES_MAX: Final = 6 * 1024 * 1024
LAMBDA_TEXT_CHARS_MAX: Final = 256 * 1024

# What lies on the disk.
HEADER_BYTES_MAX: Final = 16 * 1024
SIDECAR_BYTES_MAX: Final = HEADER_BYTES_MAX + 4 * 1024
REQUEST_IDS_KEPT: Final = 16
REQUEST_IDS_KEPT_SECONDS: Final = 24 * 3600
VERSION_MAX: Final = 2**48 - 1
CONFIG_FILE_BYTES_MAX: Final = 8 * 1024 * 1024
ROTATED_KEYS_MAX: Final = 1_000
DATA_KEYS_MAX: Final = 1_200
DATA_KEYS_EVER_MAX: Final = 10_000
SEALED_KEY_BYTES_MAX: Final = 1_400
DESTROYED_KEY_BYTES_MAX: Final = 100
WRITTEN_BYTES_TOLD_MAX: Final = 2**50
TEMPLATE_BYTES_MAX: Final = 1024 * 1024
PATTERN_BACKTRACKS_MAX: Final = 100_000
INCARNATIONS_RETIRED_MAX: Final = 1_000
INCARNATION_RETIRED_SECONDS: Final = 30 * 24 * 3600

# How long anything waits, and how much of it may wait.
HOUSEKEEPING_ROUND_SECONDS: Final = 3600.0
TEMPORARY_FILE_SECONDS_MAX: Final = 3600.0
LOCK_WAIT_SECONDS: Final = 5.0
LOCK_WAITERS_MAX: Final = 8
SCAN_SECONDS: Final = 1.0
SCAN_ENTITIES_MAX: Final = 10_000
SCAN_THREADS: Final = 4
FINDINGS_PER_PAGE: Final = 1_000
TRIAL_REFUSALS_MAX: Final = PAGE_SIZE_MAX
TRIAL_VIOLATIONS_MAX: Final = 5
TRIAL_BYTES_MAX: Final = PAGE_BYTES_MAX // 8
INSPECTION_SECONDS: Final = 5.0
LOCK_HELD_SECONDS_MAX: Final = 20.0
REQUEST_SECONDS: Final = 10.0
PREFLIGHT_SECONDS: Final = 600
BODY_SECONDS: Final = 10.0
READ_ATTEMPT_SECONDS: Final = 2.0
WRITE_ATTEMPT_SECONDS: Final = 6.0
REWRAP_CALL_SECONDS: Final = 30.0
REGISTRY_REFRESH_SECONDS: Final = 0.25
REGISTRY_WAIT_SECONDS: Final = 2.0
KEYRING_FOLLOWED_EVERY_SECONDS: Final = 0.25
KEY_PROVIDER_CHECK_SECONDS: Final = 30.0
READINESS_WAIT_SECONDS: Final = 1.0
READINESS_KEPT_SECONDS: Final = 1.0
READINESS_WRITTEN_EVERY_SECONDS: Final = 5.0
SPANS_WAITING_MAX: Final = 2_048
SPANS_PER_EXPORT_MAX: Final = 512
SPANS_EXPORTED_EVERY_SECONDS: Final = 1.0
SPANS_EXPORT_SECONDS: Final = 5.0
SPANS_LAST_EXPORT_SECONDS: Final = 1.0
SPAN_TEXT_CHARS_MAX: Final = 128
START_RETRIED_SECONDS: Final = 5.0
SUCCESSOR_SECONDS: Final = 60.0
ROTATION_CHECKED_EVERY_SECONDS: Final = 5.0
ROTATIONS_APART_SECONDS: Final = 10.0
REGISTRY_KEPT_SECONDS: Final = 3600
WORKER_THREADS: Final = 16
WORKER_CONCURRENT_REQUESTS_MAX: Final = 256
MAIN_THREADS: Final = 16
MAIN_CONCURRENT_REQUESTS_MAX: Final = 1_024
MAIN_CONNECTIONS_MAX: Final = 4_096
CALLS_PER_CONNECTION_MAX: Final = 128
CONNECTION_BEGUN_SECONDS: Final = 5.0
KEEPALIVE_SECONDS: Final = 10.0
MAIN_STREAMS_MAX: Final = 32
CLIENT_STREAMS_MAX: Final = 32
STREAMS_PER_CLIENT_MAX: Final = 8
STREAM_PAUSE_SECONDS_MAX: Final = 60
SUBSCRIPTION_THREADS: Final = 4
# Which worker is asked, and what if it fails (main_api/service/workers/fleet.py, dispatch.py).
WORKER_CONNECTIONS_MAX: Final = 1_000
WORKER_CALLS_FREE: Final = WORKER_THREADS
LOAD_FACTOR_MAX: Final = 1.25
WORKER_LOAD_TOLD_MAX: Final = 10.0 * WORKER_CONCURRENT_REQUESTS_MAX
ATTEMPTS_MAX: Final = 4
RETRIES_PER_REQUEST: Final = 0.2
RETRIES_PER_SECOND: Final = 10.0
RETRIES_AT_ONCE_MAX: Final = 100
FAN_OUT_CALLS_MAX: Final = 4
CIRCUIT_PAUSE_FIRST_SECONDS: Final = 0.25
CIRCUIT_PAUSE_LONGEST_SECONDS: Final = 2.0
PROBE_SECONDS: Final = 0.5
WORKER_SILENT_SECONDS: Final = 1.0
CONNECT_SECONDS: Final = 0.5
PING_AFTER_SECONDS: Final = 0.3
PING_ANSWERED_SECONDS: Final = 0.7
WORKER_OUT_OF_THE_WAY_SECONDS: Final = 2.0
TRAFFIC_QUIET_SECONDS: Final = 1.0
DRAIN_ANNOUNCED_SECONDS: Final = 0.5
DRAIN_SECONDS: Final = 4.0
VERSION_CHARS_MAX: Final = 64
CACHE_BYTES_TOLD_MAX: Final = 2**50

LEASE_SECONDS: Final = 6
LEASE_RENEWALS_PER_LEASE: Final = 3
CLOCK_SKEW_MS_MAX: Final = 500

# Certificates.
CERTIFICATE_FILE_BYTES_MAX: Final = 256 * 1024
CERTIFICATE_REQUEST_BYTES_MAX: Final = 4_096
CERTIFICATE_DAYS: Final = 90
ENROLLED_CERTIFICATE_DAYS: Final = 7
CERTIFICATE_DAYS_MAX: Final = 825
CERTIFICATE_REREAD_SECONDS: Final = 2.0
CERTIFICATE_CHECKED_EVERY_SECONDS: Final = 10.0
CERTIFICATE_RETRIED_SECONDS_MAX: Final = 3600.0
PEERS_REMEMBERED: Final = 1_024

# Jobs.
JOBS_FOLLOWED_EVERY_SECONDS: Final = 0.25
JOBS_RUNNING_MAX: Final = 10
JOBS_KEPT_MAX: Final = 100
REWRAP_FILES_PER_SECOND_MAX: Final = 1_000_000
ENTITIES_LOST_MAX: Final = 2**53
BACKUPS_MAX: Final = 10_000
EXPORTS_MAX: Final = 10_000

# Copies of a deployment (cli/backup).
BACKUP_CHUNK_ENTRIES: Final = 4_096
BACKUP_CHUNK_BYTES_MAX: Final = 4 * 1024 * 1024
BACKUP_MANIFEST_BYTES_MAX: Final = 16 * 1024 * 1024
BACKUP_THREADS: Final = 8
BACKUP_FILE_IDS_LISTED_MAX: Final = 50_000
BACKUP_TOLD_MAX: Final = 20
PRUNE_DIGESTS_MAX: Final = 1_000_000
PRUNE_SECONDS_MAX: Final = 45 * 60
PRUNE_RECORD_SECONDS: Final = 60 * 60
"""After so long a prune that is on record was killed: it ends itself before."""
RESTORED_VERSIONS_LEFT: Final = 2**32
RESTORED_BATCH_ENTITIES: Final = 50
RESTORED_BATCH_BYTES: Final = 1024 * 1024
RESTORED_BATCH_KEY_CHARS: Final = 4_096
KEY_PATTERNS_MAX: Final = 100

# What a process holds in memory. Messages up to the small size are bounded by their number.
SMALL_BYTES_MAX: Final = 64 * 1024
LARGE_BYTES_IN_FLIGHT_MAX: Final = 32 * MESSAGE_BYTES_MAX
MESSAGES_RECEIVED_MAX: Final = 32
STRANGERS_MESSAGES_RECEIVED_MAX: Final = 8
RECEIVE_WAIT_SECONDS: Final = 2.0
COPIES_PER_THREAD: Final = 8
PROCESS_BYTES: Final = 128 * 1024 * 1024
MAIN_MEMORY_BYTES_MAX: Final = 1536 * 1024 * 1024
WORKER_MEMORY_BESIDE_CACHE_BYTES_MAX: Final = 768 * 1024 * 1024

# Tokens.
ACCESS_TOKEN_SECONDS: Final = 600
WORKER_TOKEN_SECONDS: Final = 2 * LEASE_SECONDS
SUBJECT_BYTES_MAX: Final = 256
REVOCATION_SECONDS_MAX: Final = 5.0
TOKEN_REVOCATIONS_READ_EVERY_SECONDS: Final = 2.0
TOKEN_REVOCATIONS_TRIED_EVERY_SECONDS: Final = 0.25
TOKEN_REVOCATIONS_STALE_SECONDS_MAX: Final = 4.0
TOKENS_REVOKED_PER_CLIENT_MAX: Final = 1_000
TOKENS_REVOKED_MAX: Final = 20_000
TOKEN_REVOCATIONS_SWEPT_EVERY_SECONDS: Final = 60.0
SIGNING_KEY_PUBLISHED_SECONDS: Final = 10
SIGNING_KEYS_READ_EVERY_SECONDS: Final = 2.0
UNKNOWN_KEY_LOOKED_FOR_EVERY_SECONDS: Final = 1.0
SIGNING_KEY_DAYS: Final = 30.0
CLIENT_RECORD_CACHE_SECONDS: Final = 2.0
SECRET_OVERLAP_SECONDS: Final = 24 * 3600
SECRET_OVERLAP_SECONDS_MAX: Final = 30 * 24 * 3600
VERIFIED_TOKENS_CACHED: Final = 10_000

# Tokens of foreign issuers (main_api/domain/trusted_issuers.py).
ISSUERS_MAX: Final = 20
ISSUER_BYTES_MAX: Final = 64 * 1024
ISSUER_RULES_MAX: Final = 100
ISSUER_AUDIENCES_MAX: Final = 20
ISSUER_CA_CHARS_MAX: Final = 32 * 1024
RULE_CONDITIONS_MAX: Final = 10
CONDITION_VALUES_MAX: Final = 100
CLAIM_TEXT_CHARS_MAX: Final = 512
FOREIGN_TOKEN_CHARS_MAX: Final = 8_192
FOREIGN_TOKEN_DEPTH_MAX: Final = 16
FOREIGN_TOKEN_SECONDS_MAX: Final = 24 * 3600
FOREIGN_TOKEN_SECONDS_SETTABLE_MAX: Final = 30 * 24 * 3600
FOREIGN_CLOCK_SKEW_SECONDS: Final = 30
FOREIGN_SUBJECT_CHARS_MAX: Final = 255
FOREIGN_CALLERS_BYTES_MAX: Final = 16 * 1024 * 1024

# The keys of foreign issuers (main_api/service/issuer_keys.py).
JWKS_BYTES_MAX: Final = 256 * 1024
JWKS_KEYS_MAX: Final = 100
JWKS_FETCH_SECONDS: Final = 5.0
JWKS_CONNECT_SECONDS: Final = 2.0
JWKS_ADDRESSES_TRIED_MAX: Final = 4
JWKS_WAIT_SECONDS: Final = 2.0
JWKS_WAITERS_MAX: Final = 4
JWKS_FRESH_SECONDS: Final = 300.0
JWKS_ASKED_APART_SECONDS: Final = 10.0
JWKS_KEPT_SECONDS: Final = 3600.0
RSA_MODULUS_BITS_MIN: Final = 2_048
RSA_MODULUS_BITS_MAX: Final = 8_192

# Failed authentications (main_api/service/callers/throttling.py), and what clients use (quotas.py).
FAILED_AUTHENTICATIONS_PER_MINUTE: Final = 60
FAILED_AUTHENTICATIONS_PER_ADDRESS_PER_MINUTE: Final = 1_000
ADDRESSES_THROTTLED_MAX: Final = 32_768
THROTTLE_BYTES_MAX: Final = 2 * ADDRESSES_THROTTLED_MAX * 512
CLIENTS_METERED_MAX: Final = 10_000
FAILED_AUTHENTICATIONS_SETTABLE_MAX: Final = 1_000_000
TRUSTED_PROXIES_MAX: Final = 10

# The audit log (main_api/domain/audit, main_api/service/audit).
AUDIT_RECORD_BYTES_MAX: Final = 16 * 1024
AUDIT_TEXT_CHARS_MAX: Final = 128
AUDIT_SUBJECT_CHARS_MAX: Final = 512
AUDIT_DETAIL_CHARS_MAX: Final = 1_024
AUDIT_DETAIL_MEMBERS_MAX: Final = 8
AUDIT_BLOCK_BYTES_MAX: Final = 1024 * 1024
AUDIT_SEGMENT_BYTES_MAX: Final = 8 * 1024 * 1024
AUDIT_SEGMENT_SECONDS_MAX: Final = 3600
AUDIT_SEGMENT_SLACK_SECONDS: Final = 600
AUDIT_MENTIONED_EVERY_SECONDS: Final = 60.0
AUDIT_HEADS_MENTIONED_MAX: Final = 1_000
AUDIT_LIKE_RECORDS_PER_MINUTE: Final = 10
AUDIT_LIKE_BURST: Final = 60
AUDIT_COUNTED_MAX: Final = 16
AUDIT_COUNTED_SECONDS: Final = 60.0
AUDIT_KEPT_DAYS_MIN: Final = 1
AUDIT_SEGMENTS_READ_MAX: Final = 64
AUDIT_CURSOR_CHARS_MAX: Final = 128 * 1024
AUDIT_FLUSHED_EVERY_SECONDS: Final = 0.1
AUDIT_RETRIED_EVERY_SECONDS: Final = 1.0

# The cache of a Processing Worker.
CACHE_BYTES: Final = 256 * 1024 * 1024
CACHE_TTL_SECONDS: Final = 300.0
CACHE_TTL_SECONDS_MAX: Final = 7 * 24 * 3600
COHERENCE_BOUND_MS_MAX: Final = 60_000
COMMITS_PER_MESSAGE_MAX: Final = 500
COMMITS_UNSENT_MAX: Final = 10_000
COMMIT_MESSAGES_WAITING_MAX: Final = 100
MAIN_WORKERS_TOLD_MAX: Final = 16
DATABASES_REMEMBERED: Final = 10_000
FILE_NAMES_REMEMBERED: Final = 10_000
SIDECAR_COMPARED_BYTES: Final = 2_048
SHARDS_REMEMBERED: Final = 100_000
TEMPLATES_COMPILED: Final = 1_000


def _require(relation: bool, sentence: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not relation:
        raise RuntimeError(f"limits contradict each other: {sentence}")


_require(
    MESSAGE_BYTES_MAX * 4 / 3 + HEADER_BYTES_MAX < LAMBDA_ANSWER_BYTES_MAX
    and LAMBDA_TEXT_CHARS_MAX * 12 + HEADER_BYTES_MAX < LAMBDA_ANSWER_BYTES_MAX,
    "an answer has to fit into Lambda's",
)
_require(ENTITY_BYTES_MAX < MESSAGE_BYTES_MAX, "a message has to hold an entity")
_require(ENTITY_KEY_BYTES_MAX < HEADER_BYTES_MAX, "a prelude has to hold an entity key")
_require(LOCK_WAIT_SECONDS < REQUEST_SECONDS, "a lock's wait has to end within the request")
_require(
    LOCK_HELD_SECONDS_MAX < TEMPORARY_FILE_SECONDS_MAX, "a temporary file in use would be swept"
)
_require(SCAN_SECONDS * 2 < REWRAP_CALL_SECONDS, "a rewrap has to list before it can begin")
_require(SCAN_SECONDS < READ_ATTEMPT_SECONDS, "a page has to end within its attempt")
_require(
    SCAN_SECONDS + INSPECTION_SECONDS < REQUEST_SECONDS, "an inspection has to end within a request"
)
_require(
    TRIAL_VIOLATIONS_MAX * 2 * 4 * VIOLATION_CHARS_MAX < TRIAL_BYTES_MAX < PAGE_BYTES_MAX / 2,
    "two pages of refusals have to fit into a message",
)
_require(
    VERDICTS_BYTES_MAX + ENTITIES_PER_REQUEST_MAX * 2 * 4 * VIOLATION_CHARS_MAX
    < PAGE_BYTES_MAX / 2,
    "verdicts on as many entities as there may be have to fit into a message",
)
_require(ROTATED_KEYS_MAX < DATA_KEYS_MAX < DATA_KEYS_EVER_MAX, "nobody could rotate by hand")
_require(
    DATA_KEYS_MAX * SEALED_KEY_BYTES_MAX + DATA_KEYS_EVER_MAX * DESTROYED_KEY_BYTES_MAX
    < MESSAGE_BYTES_MAX,
    "a full keyring has to fit into a message",
)
_require(PRUNE_SECONDS_MAX < PRUNE_RECORD_SECONDS, "a prune ends before it counts as dead")
_require(BACKUP_CHUNK_ENTRIES * 512 <= BACKUP_CHUNK_BYTES_MAX, "a chunk has to hold its entries")
_require(
    RESTORED_VERSIONS_LEFT * 1_000 < VERSION_MAX, "a deployment could be restored a few times only"
)
_require(READ_ATTEMPT_SECONDS < REQUEST_SECONDS, "a read needs time for a second worker")
_require(LOCK_WAIT_SECONDS < WRITE_ATTEMPT_SECONDS, "an attempt has to outlast a lock's wait")
_require(WRITE_ATTEMPT_SECONDS < REQUEST_SECONDS, "a write needs time for a second worker")
_require(
    2 * PING_AFTER_SECONDS + PING_ANSWERED_SECONDS + CONNECT_SECONDS
    < WORKER_OUT_OF_THE_WAY_SECONDS,
    "a worker that is silent would be in the way for too long",
)
_require(2 * REGISTRY_WAIT_SECONDS < REQUEST_SECONDS, "a look at the registry would take it all")
_require(
    REGISTRY_REFRESH_SECONDS < DRAIN_ANNOUNCED_SECONDS,
    "a worker would refuse calls before anybody knows that it is leaving",
)
_require(
    DRAIN_ANNOUNCED_SECONDS + DRAIN_SECONDS < LEASE_SECONDS,
    "a worker that drains would outlive its lease",
)
_require(
    2 * FAN_OUT_CALLS_MAX <= COPIES_PER_THREAD,
    "the parts of one read would fill more than a thread",
)
_require(WORKER_SILENT_SECONDS < READ_ATTEMPT_SECONDS, "a worker's silence would never be noticed")
_require(
    MAIN_THREADS * (ATTEMPTS_MAX - 1) < RETRIES_AT_ONCE_MAX,
    "the death of a worker would use the retries up",
)
_require(CLIENT_RECORD_CACHE_SECONDS < REVOCATION_SECONDS_MAX, "a revocation would come too late")
_require(
    TOKEN_REVOCATIONS_READ_EVERY_SECONDS + TOKEN_REVOCATIONS_TRIED_EVERY_SECONDS
    < TOKEN_REVOCATIONS_STALE_SECONDS_MAX
    < REVOCATION_SECONDS_MAX,
    "a revoked token would be refused too late, or everybody for one look that has failed",
)
_require(
    SIGNING_KEYS_READ_EVERY_SECONDS
    + UNKNOWN_KEY_LOOKED_FOR_EVERY_SECONDS
    + 2 * CLOCK_SKEW_MS_MAX / 1000
    < SIGNING_KEY_PUBLISHED_SECONDS,
    "a key would sign before it is known everywhere",
)
_require(SPANS_PER_EXPORT_MAX <= SPANS_WAITING_MAX, "an export would wait for what is dropped")
_require(WORKER_TOKEN_SECONDS <= ACCESS_TOKEN_SECONDS, "a worker's token would outlive its key")
_require(ISSUERS_MAX * ISSUER_BYTES_MAX < PAGE_BYTES_MAX, "an answer has to hold every issuer")
_require(JWKS_WAITERS_MAX < MAIN_THREADS / 2, "an issuer that hangs would take every thread")
_require(JWKS_WAIT_SECONDS < JWKS_ASKED_APART_SECONDS, "there would always be somebody waiting")
_require(JWKS_FRESH_SECONDS < JWKS_KEPT_SECONDS, "keys would be dropped before they are renewed")
_require(8 * FOREIGN_CALLERS_BYTES_MAX <= PROCESS_BYTES, "callers would fill a process")
_require(WORKER_TOKEN_SECONDS > LEASE_SECONDS, "a token has to outlive the lease that it renews")
_require(MESSAGE_BYTES_MAX <= LARGE_BYTES_IN_FLIGHT_MAX, "a message would never find room")
_require(
    MAIN_CONCURRENT_REQUESTS_MAX < MAIN_CONNECTIONS_MAX, "one request too many could not be refused"
)
_require(4 * THROTTLE_BYTES_MAX <= PROCESS_BYTES, "failures would fill a process")
_require(RECEIVE_WAIT_SECONDS < BODY_SECONDS, "a place would be waited for longer than it is held")
_require(
    PROCESS_BYTES
    + LARGE_BYTES_IN_FLIGHT_MAX
    + (MESSAGES_RECEIVED_MAX + STRANGERS_MESSAGES_RECEIVED_MAX + MAIN_STREAMS_MAX)
    * MESSAGE_BYTES_MAX
    # A page that is made, and one that is not read yet.
    + 2 * CLIENT_STREAMS_MAX * MESSAGE_BYTES_MAX
    + MAIN_THREADS * COPIES_PER_THREAD * MESSAGE_BYTES_MAX
    + MAIN_CONCURRENT_REQUESTS_MAX * SMALL_BYTES_MAX
    <= MAIN_MEMORY_BYTES_MAX,
    "what a Main Worker may hold is more than its memory",
)
_require(
    PROCESS_BYTES + WORKER_THREADS * COPIES_PER_THREAD * MESSAGE_BYTES_MAX
    <= WORKER_MEMORY_BESIDE_CACHE_BYTES_MAX,
    "what a worker may hold is more than its memory",
)
_require(
    70 * ENTITIES_PER_REQUEST_MAX + 6 * (AUDIT_SUBJECT_CHARS_MAX + 8 * AUDIT_TEXT_CHARS_MAX)
    <= AUDIT_RECORD_BYTES_MAX
    <= AUDIT_BLOCK_BYTES_MAX / 2,
    "a record has to hold the file-ids of a request, and a block a record",
)
_require(
    2 * AUDIT_BLOCK_BYTES_MAX <= AUDIT_SEGMENT_BYTES_MAX, "a segment has to hold more than a block"
)
_require(
    AUDIT_MENTIONED_EVERY_SECONDS + 2 * CLOCK_SKEW_MS_MAX / 1000 < AUDIT_SEGMENT_SLACK_SECONDS,
    "the last word of a chain might never be mentioned",
)
