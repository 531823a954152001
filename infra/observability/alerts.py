"""When somebody has to look, what it means, and what to do."""

from dataclasses import dataclass
from typing import Final, Literal

from infra.observability.queries import calls, more, quantile, rate, share
from strongroom import limits
from strongroom.metrics import catalogue as m

_FAULTS: Final = 'code=~"INTERNAL|UNKNOWN|UNAVAILABLE|DATA_LOSS|DEADLINE_EXCEEDED"'
_FAILED: Final = 'status="5xx"'
_REFUSED: Final = 'outcome="refused"'
_DENIED: Final = 'outcome="denied"'
_JOB_FAILED: Final = 'state="failed"'
_READS: Final = 'operation=~"get|get-many"'
_WRITES: Final = 'operation=~"put|put-many|delete|delete-many|merge-patch|json-patch"'


@dataclass(frozen=True, slots=True)
class Alert:
    """A rule.

    Attributes:
        name: Its name.
        expression: In PromQL; whatever it returns is trouble.
        minutes: For how long, before somebody is told.
        severity: Whether it has to be now.
        means: What it says, in a sentence.
        action: What to do.
    """

    name: str
    expression: str
    minutes: int
    severity: Literal["critical", "warning", "info"]
    means: str
    action: str


ALERTS: Final = (
    Alert(
        "StrongroomProcessDown",
        'up{job=~"strongroom-.*"} == 0',
        2,
        "critical",
        "A process does not tell its metrics: it is down, or cannot be reached.",
        "Look at its log and at whoever starts it; the others serve in its place meanwhile.",
    ),
    Alert(
        "StrongroomProcessRestarts",
        f"changes({m.PROCESS_START.name}[15m]) > 2",
        0,
        "warning",
        "A process starts again and again.",
        "The last lines of its log say why it ends; `strongroom doctor` looks for what it lacks.",
    ),
    Alert(
        "StrongroomNoWorkers",
        f"max({m.WORKERS_LIVE.name}) == 0",
        1,
        "critical",
        "No Processing Worker has a lease: every request is answered with 503.",
        "`strongroom workers list`; then the workers' logs for `subscription-failed`.",
    ),
    Alert(
        "StrongroomRequestsFail",
        f"{share(m.HTTP_SECONDS, _FAILED)} > 0.01",
        5,
        "critical",
        "One REST request in a hundred fails by a fault of this side.",
        "`/readyz?verbose` names what is wrong; a request's id leads to it in the logs.",
    ),
    Alert(
        "StrongroomCallsFail",
        f"{share(m.GRPC_SECONDS, _FAULTS)} > 0.01",
        5,
        "critical",
        "One gRPC call in a hundred fails by a fault of this side.",
        "The same as for REST; `grpc.health.v1` has a service for each readiness check.",
    ),
    Alert(
        "StrongroomReadsSlow",
        f"{quantile(0.99, m.OPERATION_SECONDS, _READS)} > 0.25",
        10,
        "warning",
        "One read in a hundred takes a worker more than a quarter of a second.",
        "See whether it is the disk (misses, fsync), a full cache (evictions), or the queue.",
    ),
    Alert(
        "StrongroomWritesSlow",
        f"{quantile(0.99, m.OPERATION_SECONDS, _WRITES)} > 1",
        10,
        "warning",
        "One write in a hundred takes a worker more than a second.",
        "See whether it waits for locks (one entity is written by many) or for fsync.",
    ),
    Alert(
        "StrongroomRequestsWait",
        f"max by (instance) ({m.WAITING.name}) > {limits.WORKER_THREADS}",
        5,
        "warning",
        "More requests wait for a thread of a process than it has threads.",
        "Start more workers; if the disk is slow, more of them do not help.",
    ),
    Alert(
        "StrongroomLoopBlocked",
        f"max by (instance) ({m.LOOP_WAIT.name}) > 0.25",
        5,
        "warning",
        "The gRPC Main Worker's event loop is late: every call and every lease waits for it.",
        "It has too little processor, or too many clients: start another Main Worker.",
    ),
    Alert(
        "StrongroomFileDamaged",
        f"{more(m.INTEGRITY_ERRORS, '15m')} + {more(m.DECRYPT_FAILURES, '15m')} > 0",
        0,
        "critical",
        "A stored file does not verify: it was changed, cut or swapped, or the disk is failing.",
        "`strongroom verify` names the files; take them from a backup (docs/backup.md). If nobody"
        " has touched the directory by mistake, treat it as an attack.",
    ),
    Alert(
        "StrongroomEncryptFails",
        f"{more(m.ENCRYPT_FAILURES, '15m')} > 0",
        0,
        "critical",
        "A worker could not encrypt what it was to write; nothing was written.",
        "Its log has the reason; a worker that has lost its keys gets them with its next lease.",
    ),
    Alert(
        "StrongroomDiskFails",
        f"{more(m.FSYNC_FAILURES, '15m')} > 0",
        0,
        "critical",
        "The shared directory could not make a write durable; that worker has left service.",
        "See whether the file system is full, read-only or gone; then start the worker.",
    ),
    Alert(
        "StrongroomDiskSlow",
        f"{quantile(0.99, m.FSYNC_SECONDS)} > 0.1",
        10,
        "warning",
        "One fsync in a hundred takes more than 100 ms: every write waits for two of them.",
        "On EFS: its limit of throughput or of requests. Else: who else writes to that disk.",
    ),
    Alert(
        "StrongroomLocksRefused",
        f"{calls(m.LOCK_WAIT_SECONDS, _REFUSED)} > 0.1",
        5,
        "warning",
        "Writers give up waiting for an entity's lock, and are answered with 503 `busy`.",
        "One entity is written by too many, or a stopped process holds a lock: see `job` details"
        " and processes in state T.",
    ),
    Alert(
        "StrongroomLeaseOld",
        f"{m.LEASE_AGE.name} > {limits.LEASE_SECONDS * 5 / 6:g}",
        1,
        "warning",
        "A worker's lease is not renewed in time; at its end the worker forgets its keys.",
        "See whether the gRPC Main Workers are up and whether the worker reaches them.",
    ),
    Alert(
        "StrongroomWorkerWithoutLease",
        f"{m.LEASE_LEFT.name} == 0",
        2,
        "critical",
        "A worker runs and serves nothing: it has no lease.",
        "Its log says why (`subscription-failed`): revoked, certificate, clock, or no Main Worker.",
    ),
    Alert(
        "StrongroomSubscriptionsFail",
        f"{more(m.SUBSCRIPTION_FAILURES, '10m')} > 5",
        0,
        "warning",
        "Workers come into service only after several attempts, or lose it again.",
        "The reason is in their logs; a clock that is off by 500 ms is one of them.",
    ),
    Alert(
        "StrongroomRenewalsFail",
        f"{rate(m.RENEWAL_FAILURES)} > 0.1",
        5,
        "warning",
        "Renewals of leases fail and have to be tried again.",
        "Look at the Main Workers' load, and at the network between them and the workers.",
    ),
    Alert(
        "StrongroomKeyProviderDown",
        f"min({m.KEY_PROVIDER_UP.name}) == 0",
        5,
        "critical",
        "The key provider would not open the keyring: what runs goes on, nothing can start.",
        "`/readyz?verbose` says what it answers; check KMS and the right to use the key. Until then"
        " restart nothing.",
    ),
    Alert(
        "StrongroomKeyProviderFails",
        f"{more(m.KEY_PROVIDER_FAILURES, '1h')} > 3",
        0,
        "warning",
        "Checks of the key provider fail now and then.",
        "The log has what it answers; KMS throttles per account.",
    ),
    Alert(
        "StrongroomKeyOld",
        f"max({m.ACTIVE_KEY_AGE.name}) > 100 * 86400",
        60,
        "info",
        "The data key has been in use for more than 100 days.",
        "`strongroom keys rotate`, or let it be done (STRONGROOM_ROTATE_AFTER_DAYS).",
    ),
    Alert(
        "StrongroomKeysTurnTooOften",
        f"max (increase({m.KEY_ROTATIONS.name}[1h])) > 5",
        0,
        "warning",
        "The data key was rotated more than five times in an hour.",
        "The audit log names who has done it (`strongroom audit tail`).",
    ),
    Alert(
        "StrongroomCertificateEnds",
        f"min by (role, holder) ({m.CERTIFICATE_END.name}) - time() < 86400",
        30,
        "critical",
        "A certificate ends within a day and was not renewed, which is due at a third of its life.",
        "Look for `certificate-not-renewed` in its holder's log; at least one gRPC Main Worker has"
        " to hold the authority's key.",
    ),
    Alert(
        "StrongroomAuditLost",
        f"{more(m.AUDIT_LOST, '15m')} > 0 or min({m.AUDIT_UP.name}) == 0",
        0,
        "critical",
        "Records of the audit log could not be written.",
        "See whether the shared directory has room and can be written to; then what was lost.",
    ),
    Alert(
        "StrongroomIssuerKeysOld",
        f"max by (issuer) ({m.ISSUER_KEYS_AGE.name}) > {limits.JWKS_KEPT_SECONDS / 2:g}",
        5,
        "warning",
        "A foreign issuer's keys were not read for half an hour; after an hour they serve no more.",
        "See whether the issuer's address answers from a Main Worker (docs/federation.md).",
    ),
    Alert(
        "StrongroomAuthenticationsFail",
        f"{rate(m.FAILED_AUTHENTICATIONS)} > 1",
        10,
        "warning",
        "More than one authentication a second fails: somebody guesses, or has an old secret.",
        "The audit log names address and client; a secret is rotated, a client revoked.",
    ),
    Alert(
        "StrongroomRequestsLimited",
        f"{rate(m.RATE_LIMITED)} > 1",
        10,
        "info",
        "More than one request a second is refused for a limit.",
        "See whose (audit log), and whether it is the client's quota or this side's capacity.",
    ),
    Alert(
        "StrongroomWorkersLost",
        f"{more(m.CIRCUIT_OPENINGS, '10m')} > 5",
        0,
        "warning",
        "Calls to workers are lost again and again.",
        "Workers die or do not answer: their logs, their memory, and the network to them.",
    ),
    Alert(
        "StrongroomRetriesDenied",
        f"{rate(m.DISPATCH_RETRIES, _DENIED)} > 0.1",
        5,
        "warning",
        "So many calls to workers fail that no second attempts are made any more.",
        "Too much load for the workers that are left: start more, or have clients send less.",
    ),
    Alert(
        "StrongroomCommitsUntold",
        f"max({m.COMMITS_UNTOLD.name}) > {limits.COMMITS_UNSENT_MAX // 2}",
        5,
        "info",
        "Workers do not hear of each other's commits. Answers are right all the same; with"
        " STRONGROOM_COHERENCE=bounded they may be as old as the bound.",
        "See whether the gRPC Main Workers can be reached, who pass them on.",
    ),
    Alert(
        "StrongroomCacheTooSmall",
        f"{rate(m.CACHE_EVICTIONS)} > 10 and {rate(m.CACHE_MISSES)} > {rate(m.CACHE_HITS)}",
        30,
        "info",
        "Most reads miss the cache, and there is no room in it.",
        "STRONGROOM_CACHE_BYTES, or more workers: each entity is cached by one of them.",
    ),
    Alert(
        "StrongroomJobFailed",
        f"{more(m.JOBS_ENDED, '1h', _JOB_FAILED)} > 0",
        0,
        "warning",
        "A rewrap or the destruction of a key has failed.",
        "`strongroom job list` says why; files that do not open are named by `strongroom verify`.",
    ),
    Alert(
        "StrongroomFilesOpen",
        f"{m.PROCESS_FILES.name} / {m.PROCESS_FILES_MAX.name} > 0.8",
        5,
        "warning",
        "A process has four of five descriptors in use that it may have.",
        "Raise its limit (ulimit -n); if it grows without load, report it.",
    ),
    Alert(
        "StrongroomReleasesDiffer",
        f"count (count by (version) ({m.BUILD_INFO.name})) > 1",
        120,
        "info",
        "Processes of two releases run side by side for hours.",
        "That works for an update's time; finish it, or take it back.",
    ),
)
