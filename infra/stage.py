"""What tells one stage from another: infra/stages/<stage>.json, a file of a few lines."""

from pathlib import Path
from typing import Annotated, Final

import msgspec

STAGES: Final = Path(__file__).parent / "stages"
_Count = Annotated[int, msgspec.Meta(ge=1, le=10_000)]
# Every day count that CloudWatch Logs takes, so that CloudFormation does not find out.
_LOG_DAYS: Final = frozenset({1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731})


class Tasks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Between how many tasks a service scales."""

    least: _Count
    most: _Count


class Domain(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A name of one's own for the REST API.

    Attributes:
        name: Such as `rooms.example.com`.
        certificate_arn: Of ACM, in the stage's region.
        truststore: `s3://bucket/key` with the CA certificates of clients, for mutual TLS; empty
            for none.
    """

    name: str
    certificate_arn: str
    truststore: str = ""


class ClientGrpc(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A load balancer for clients of the gRPC face.

    Attributes:
        certificate_arn: Of ACM, in the stage's region: gRPC through a load balancer takes TLS.
        is_public: Whether it is reached from the internet, or from the VPC alone.
    """

    certificate_arn: str
    is_public: bool = False


class Stage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The settings of a stage.

    Attributes:
        name: `dev`, `prod`.
        region: Of AWS.
        zones: In how many availability zones it runs.
        keep_data: Whether a deleted stack leaves its data behind, and refuses to be deleted.
        deployment_id: Once the deployment is made: binds the KMS key to it alone. Empty before.
        federation: Whether Main Workers fetch the keys of foreign token issuers: needs a NAT
            gateway, the one way out of the network.
        main_tasks: How many tasks serve gRPC.
        worker_tasks: Between how many Processing Workers there are.
        worker_cpu: Units of a worker, 1024 to a vCPU.
        worker_memory_mib: Memory of a worker.
        spot: Whether workers above the least number run on Fargate Spot, which may end them with
            two minutes' notice.
        lambda_concurrency: Executions of the Lambda at a time, reserved for it.
        lambda_memory_mib: Memory of the Lambda, and with it its share of a CPU.
        requests_per_second: What API Gateway lets through; twice that in a burst.
        log_days: How long logs are kept.
        backup_days: How long a daily backup is kept.
        budget_dollars: A month's cost, of which 80 and 100 % are told; 0 for no budget.
        alarm_email: Who is told; empty for nobody, the alarms are there all the same.
        domain: A name of one's own for REST; None for API Gateway's.
        client_grpc: A load balancer for gRPC clients; None for none.
    """

    name: str
    region: str
    zones: Annotated[int, msgspec.Meta(ge=2, le=6)]
    keep_data: bool
    deployment_id: str = ""
    federation: bool = False
    main_tasks: _Count
    worker_tasks: Tasks
    worker_cpu: _Count
    worker_memory_mib: Annotated[int, msgspec.Meta(ge=1024, le=122_880)]
    spot: bool = False
    lambda_concurrency: _Count
    lambda_memory_mib: Annotated[int, msgspec.Meta(ge=512, le=10_240)] = 1769
    requests_per_second: _Count
    log_days: int
    backup_days: Annotated[int, msgspec.Meta(ge=1, le=3650)]
    budget_dollars: Annotated[int, msgspec.Meta(ge=0)] = 0
    alarm_email: str = ""
    domain: Domain | None = None
    client_grpc: ClientGrpc | None = None


def names() -> list[str]:
    """Return the stages that there are."""
    return sorted(path.stem for path in STAGES.glob("*.json"))


def load(name: str, directory: Path = STAGES) -> Stage:
    """Return a stage's settings.

    Raises:
        ValueError: There is no such stage, or a setting is not of its form; it says which.
    """
    path = directory / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in directory.glob("*.json")))
        raise ValueError(f"there is no stage {name!r} in {directory}, only {known}")
    try:
        stage = msgspec.convert({"name": name, **msgspec.json.decode(path.read_bytes())}, Stage)
    except msgspec.MsgspecError as error:
        raise ValueError(f"{path}: {error}") from error
    _check(stage, path)
    return stage


def _check(stage: Stage, path: Path) -> None:
    if stage.worker_tasks.least > stage.worker_tasks.most:
        raise ValueError(f"{path}: worker_tasks.least is above worker_tasks.most")
    if stage.log_days not in _LOG_DAYS:
        raise ValueError(f"{path}: log_days is one of {sorted(_LOG_DAYS)}")
