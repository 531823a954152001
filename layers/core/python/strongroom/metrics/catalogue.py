"""Every metric of the system, in one place: what is exported anywhere is in here, and no more.

Names follow Prometheus' conventions (https://prometheus.io/docs/practices/naming/): base units, the
unit last, `_total` for what only grows. Labels have few values, all of them of our own making:
never a key, a database, what a client calls itself, or a path that it asks for.
"""

from typing import Final, Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram"]
Process = Literal["rest", "grpc", "worker"]


class Metric(NamedTuple):
    """A metric.

    Attributes:
        name: Its name.
        kind: What it is.
        about: What it says, in a line.
        processes: Which processes export it.
        labels: The names of its labels.
        buckets: The upper bounds of a histogram, ascending.
    """

    name: str
    kind: Kind
    about: str
    processes: tuple[Process, ...]
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def unit(self) -> str:
        """The unit of its values; empty for a number of things."""
        last = self.name.removesuffix("_total").rpartition("_")[2]
        return last if last in {"seconds", "bytes"} else ""


EVERY: Final[tuple[Process, ...]] = ("rest", "grpc", "worker")
MAIN: Final[tuple[Process, ...]] = ("rest", "grpc")
WORKER: Final[tuple[Process, ...]] = ("worker",)

_REQUEST_S: Final = (
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    10.0,
)
_FSYNC_S: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5)
_WAIT_S: Final = (0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0)

# -- the process -----------------------------------------------------------------------------------

BUILD_INFO: Final = Metric(
    "strongroom_build_info", "gauge", "1; its label says which release this is", EVERY, ("version",)
)
PROCESS_START: Final = Metric(
    "process_start_time_seconds", "gauge", "When the process was started, since 1970", EVERY
)
PROCESS_CPU: Final = Metric(
    "process_cpu_seconds_total", "counter", "Time of the processor that it has taken", EVERY
)
PROCESS_MEMORY: Final = Metric(
    "process_resident_memory_bytes", "gauge", "Memory that it has resident", EVERY
)
PROCESS_ADDRESSES: Final = Metric(
    "process_virtual_memory_bytes", "gauge", "Addresses that it has in use", EVERY
)
PROCESS_FILES: Final = Metric("process_open_fds", "gauge", "Descriptors that it has open", EVERY)
PROCESS_FILES_MAX: Final = Metric(
    "process_max_fds", "gauge", "How many descriptors it may have open", EVERY
)

# -- requests --------------------------------------------------------------------------------------

OPERATION_SECONDS: Final = Metric(
    "strongroom_operation_duration_seconds",
    "histogram",
    "How long a worker has taken for an operation, by how it ended: ok, or the error's code",
    WORKER,
    ("operation", "outcome"),
    _REQUEST_S,
)
HTTP_SECONDS: Final = Metric(
    "strongroom_http_request_duration_seconds",
    "histogram",
    "How long a request has taken, from the thread that serves it; by route and class of status",
    ("rest",),
    ("route", "method", "status"),
    _REQUEST_S,
)
GRPC_SECONDS: Final = Metric(
    "strongroom_grpc_request_duration_seconds",
    "histogram",
    "How long a call has taken, from when its handler begins; a stream for as long as it is held",
    ("grpc",),
    ("method", "code"),
    _REQUEST_S,
)
IN_FLIGHT: Final = Metric(
    "strongroom_requests_in_flight", "gauge", "Requests that are being served, or wait to be", EVERY
)
WAITING: Final = Metric(
    "strongroom_requests_waiting", "gauge", "Requests that wait for a thread", EVERY
)
LOOP_WAIT: Final = Metric(
    "strongroom_event_loop_wait_seconds",
    "gauge",
    "How long what was ready had to wait for the event loop, when the metrics were asked for",
    ("grpc",),
)
RATE_LIMITED: Final = Metric(
    "strongroom_rate_limited_requests_total",
    "counter",
    "Requests refused because there were too many: of a client, from an address, or in all",
    MAIN,
)
FAILED_AUTHENTICATIONS: Final = Metric(
    "strongroom_failed_authentications_total",
    "counter",
    "Wrong secrets, unknown clients, and tokens that do not verify",
    MAIN,
)

# -- from a Main Worker to the workers -------------------------------------------------------------

DISPATCH_ATTEMPTS: Final = Metric(
    "strongroom_dispatch_attempts_total",
    "counter",
    "Calls to a worker: answered, refused by it, lost, or given up by whoever wanted it",
    MAIN,
    ("outcome",),
)
DISPATCH_RETRIES: Final = Metric(
    "strongroom_dispatch_retries_total",
    "counter",
    "Second and further attempts: made, or denied because there were too many",
    MAIN,
    ("outcome",),
)
CIRCUIT_OPENINGS: Final = Metric(
    "strongroom_circuit_openings_total",
    "counter",
    "Times that a worker was left alone after a call to it was lost",
    MAIN,
)
CIRCUITS_OPEN: Final = Metric(
    "strongroom_circuits_open", "gauge", "Workers that are left alone now", MAIN
)

# -- the cache of a worker -------------------------------------------------------------------------

CACHE_HITS: Final = Metric(
    "strongroom_cache_hits_total", "counter", "Reads answered out of the cache", WORKER
)
CACHE_MISSES: Final = Metric(
    "strongroom_cache_misses_total", "counter", "Reads that had to load an entity", WORKER
)
CACHE_JOINED: Final = Metric(
    "strongroom_cache_joined_total",
    "counter",
    "Reads that have waited for another one's load of the same entity, and were answered out of it",
    WORKER,
)
CACHE_STALE: Final = Metric(
    "strongroom_cache_stale_total",
    "counter",
    "Cached entities that the disk had a newer version of when they were asked for",
    WORKER,
)
CACHE_UNASKED: Final = Metric(
    "strongroom_cache_unasked_total",
    "counter",
    "Reads answered without asking the disk, within the bound that STRONGROOM_COHERENCE sets",
    WORKER,
)
CACHE_INVALIDATED: Final = Metric(
    "strongroom_cache_invalidated_total",
    "counter",
    "Cached entities let go because another worker has told of a commit",
    WORKER,
)
CACHE_EVICTIONS: Final = Metric(
    "strongroom_cache_evictions_total",
    "counter",
    "Cached entities let go because there was no room",
    WORKER,
)
CACHE_EXPIRATIONS: Final = Metric(
    "strongroom_cache_expirations_total",
    "counter",
    "Cached entities let go because they were there for too long",
    WORKER,
)
CACHE_ENTRIES: Final = Metric(
    "strongroom_cache_entries", "gauge", "Entities that the cache holds", WORKER
)
CACHE_BYTES: Final = Metric("strongroom_cache_bytes", "gauge", "How large they are", WORKER)
CACHE_BYTES_MAX: Final = Metric(
    "strongroom_cache_limit_bytes", "gauge", "How large they may be together", WORKER
)
COMMITS_UNTOLD: Final = Metric(
    "strongroom_commits_untold",
    "gauge",
    "Commits that other workers' caches are to hear of and have not been sent",
    WORKER,
)

# -- disk, locks, encryption -----------------------------------------------------------------------

FSYNC_SECONDS: Final = Metric(
    "strongroom_fsync_duration_seconds",
    "histogram",
    "How long the shared directory takes to make a file or a directory durable",
    EVERY,
    buckets=_FSYNC_S,
)
FSYNC_FAILURES: Final = Metric(
    "strongroom_fsync_failures_total",
    "counter",
    "Times that it could not; a worker leaves service then",
    EVERY,
)
READ_BYTES: Final = Metric(
    "strongroom_storage_read_bytes_total", "counter", "Read from the shared directory", EVERY
)
WRITTEN_BYTES: Final = Metric(
    "strongroom_storage_written_bytes_total", "counter", "Written to the shared directory", EVERY
)
LOCK_WAIT_SECONDS: Final = Metric(
    "strongroom_lock_wait_seconds",
    "histogram",
    "How long a writer has waited for an entity's lock, by whether it was had or the wait refused",
    WORKER,
    ("outcome",),
    _WAIT_S,
)
INTEGRITY_ERRORS: Final = Metric(
    "strongroom_integrity_errors_total",
    "counter",
    "Requests that have met a stored file which does not verify, for whatever reason",
    WORKER,
)
DECRYPT_FAILURES: Final = Metric(
    "strongroom_decrypt_failures_total",
    "counter",
    "Stored entities that did not open: changed, or of a key that is not there",
    WORKER,
)
ENCRYPT_FAILURES: Final = Metric(
    "strongroom_encrypt_failures_total", "counter", "Entities that could not be encrypted", WORKER
)

REWRAPPED_FILES: Final = Metric(
    "strongroom_rewrapped_files_total",
    "counter",
    "Files that a job has put under the active key, left to whoever holds them, or cannot open",
    WORKER,
    ("outcome",),
)

JOB_FILES: Final = Metric(
    "strongroom_job_files",
    "gauge",
    "Files of the job that this process runs now: done, and all; without a sample there is none",
    MAIN,
    ("state",),
)
JOBS_ENDED: Final = Metric(
    "strongroom_jobs_ended_total",
    "counter",
    "Jobs that have ended in this process, by how: done, failed or cancelled",
    MAIN,
    ("state",),
)

# -- keys and leases -------------------------------------------------------------------------------

SUBSCRIPTION_FAILURES: Final = Metric(
    "strongroom_subscription_failures_total",
    "counter",
    "Times that a worker could not come into service, or lost it: no keys, no lease",
    WORKER,
)
RENEWAL_FAILURES: Final = Metric(
    "strongroom_lease_renewal_failures_total",
    "counter",
    "Renewals of a lease that have failed and were tried again",
    WORKER,
)
LEASE_AGE: Final = Metric(
    "strongroom_lease_age_seconds",
    "gauge",
    "Since when a worker's lease was not renewed; before the first one, since it was started",
    WORKER,
)
LEASE_LEFT: Final = Metric(
    "strongroom_lease_left_seconds",
    "gauge",
    "How long the lease still runs; 0 while the worker is out of service",
    WORKER,
)
KEY_PROVIDER_UP: Final = Metric(
    "strongroom_key_provider_up",
    "gauge",
    "1 where the last check could open the keyring's root, else 0",
    MAIN,
)
KEY_PROVIDER_FAILURES: Final = Metric(
    "strongroom_key_provider_failures_total",
    "counter",
    "Checks of the key provider that have failed in this process",
    MAIN,
)
ACTIVE_KEY_AGE: Final = Metric(
    "strongroom_active_key_age_seconds",
    "gauge",
    "Age of the data key that new writes are encrypted under",
    EVERY,
)
KEYRING_GENERATION: Final = Metric(
    "strongroom_keyring_generation",
    "gauge",
    "Generation of the keyring in use; +1 with every change",
    MAIN,
)
KEY_ROTATIONS: Final = Metric(
    "strongroom_key_rotations_total",
    "counter",
    "Rotations of the data key in the life of the deployment",
    MAIN,
)
WORKERS_LIVE: Final = Metric(
    "strongroom_workers_live", "gauge", "Processing Workers whose lease runs", MAIN
)
CERTIFICATE_END: Final = Metric(
    "strongroom_certificate_end_timestamp_seconds",
    "gauge",
    "When a certificate ends, since 1970: of this process; at a Main Worker, of each live worker",
    EVERY,
    ("role", "holder"),
)

# -- foreign issuers and the audit log -------------------------------------------------------------

ISSUER_KEYS_UP: Final = Metric(
    "strongroom_issuer_keys_up",
    "gauge",
    "0 where the last attempt to read an issuer's keys has failed, else 1",
    MAIN,
    ("issuer",),
)
ISSUER_KEYS_AGE: Final = Metric(
    "strongroom_issuer_keys_age_seconds",
    "gauge",
    "Since when an issuer's keys were not read; they serve for an hour",
    MAIN,
    ("issuer",),
)
ISSUER_KEYS_FAILURES: Final = Metric(
    "strongroom_issuer_keys_failures_total",
    "counter",
    "Attempts to read an issuer's keys that have failed in this process",
    MAIN,
    ("issuer",),
)
AUDIT_UP: Final = Metric(
    "strongroom_audit_up",
    "gauge",
    "1 where the last write of the audit log has succeeded, else 0",
    MAIN,
)
AUDIT_RECORDS: Final = Metric(
    "strongroom_audit_records_total",
    "counter",
    "Records that this process has written",
    MAIN,
)
AUDIT_LOST: Final = Metric(
    "strongroom_audit_lost_total",
    "counter",
    "Records that this process should have written, and has not",
    MAIN,
)

METRICS: Final[tuple[Metric, ...]] = tuple(
    value for value in list(globals().values()) if isinstance(value, Metric)
)
"""All of them, in the order of this page."""
