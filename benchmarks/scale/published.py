"""The figures that the simulation rests on, each with where it is from.

Nobody here has an AWS account: what AWS publishes was read, not measured. What was measured was
measured on the machine of design.md section 6; a vCPU of Fargate is another one.
"""

from dataclasses import dataclass
from typing import Final

KIBIBYTE: Final = 1024
MEBIBYTE: Final = 1024 * 1024
GIBIBYTE: Final = 1024**3


@dataclass(frozen=True, slots=True)
class FileSystem:
    """A Regional EFS file system with elastic throughput, as a new account gets it.

    Read in the Amazon EFS User Guide, "Amazon EFS performance specifications" and "Amazon EFS
    quotas". Latencies are AWS's best case ("as low as"); the first of those pages has said 250
    microseconds and 1 millisecond of a read, at different times: the longer one counts here.

    Attributes:
        read_s: What a call takes that changes nothing.
        write_s: What a call takes that changes something.
        reads_per_second: Of frequently accessed data, all clients together; AWS raises it tenfold
            when asked.
        writes_per_second: The same.
        connections: How many clients may have it mounted.
        locks_per_file: On one file, all clients together.
        locks_per_client: On all files, one client.
    """

    read_s: float = 0.001
    write_s: float = 0.0027
    reads_per_second: int = 250_000
    writes_per_second: int = 50_000
    connections: int = 25_000
    locks_per_file: int = 512
    locks_per_client: int = 65_536


READ_BEST_S: Final = 0.00025
QUOTA_RAISED: Final = 10
"""By which factor AWS raises operations per second, at most."""

METADATA_BYTES_MIN: Final = 4 * KIBIBYTE
DATA_BYTES_MIN: Final = 32 * KIBIBYTE
"""What one operation is billed as at least ("Understanding billing and usage reports for Amazon
EFS": metadata in 1 KiB increments after the first 4, data after the first 32)."""

# Measured here; see the docstring.
RANKED_PER_WORKER_S: Final = 0.45e-6
NAME_LISTED_S: Final = 1.6e-6
READS_PER_WORKER_CORE: Final = 7_500
MESSAGES_PER_MAIN_WORKER: Final = 5_300
REQUEST_BY_REST_S: Final = 1 / 3_500

# Nobody has published it, and it was not measured: what somebody has to assume.
NAMES_LISTED_PER_SECOND_ON_EFS: Final = 20_000
"""Of one directory, by one client; people who list large directories on EFS report as much. At
best it is what this machine's processor does with names, 1 / `NAME_LISTED_S`."""


@dataclass(frozen=True, slots=True)
class Prices:
    """List prices of eu-central-1 in US dollars, as docs/deploy.md tells them."""

    vcpu_hour: float = 0.04656
    gigabyte_hour: float = 0.00511
    endpoint_hour: float = 0.012
    balancer_hour: float = 0.033
    stored_gigabyte: float = 0.36
    read_gigabyte: float = 0.04
    written_gigabyte: float = 0.07
    backup_gigabyte: float = 0.06
    keys_and_alarms: float = 9.0
    request_million: float = 3.70
    lambda_million: float = 0.20
    lambda_gigabyte_second: float = 0.0000166667
    log_gigabyte: float = 0.63


HOURS: Final = 730
"""Of a month."""
