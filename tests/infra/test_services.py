"""The templates say how containers and the Lambda run, and how the disk is kept."""

import json
from pathlib import Path

import msgspec
import pytest

from infra import gateway
from infra.stacks.agreed import LOGGED, MOUNT
from strongroom import limits
from strongroom.metrics.listener import from_environment
from tests.support.synthesized import Templates


def _flat(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def test_the_file_system_is_encrypted_and_scales_with_what_is_asked(full: Templates) -> None:
    """Somebody reads the disk; or a busy hour uses credits up that an idle one has to earn."""
    files = full.one("AWS::EFS::FileSystem")
    assert files["Encrypted"] is True
    assert "Operations" in _flat(files["KmsKeyId"])
    assert files["ThroughputMode"] == "elastic"
    assert "LifecyclePolicies" not in files
    assert len(full.of("AWS::EFS::MountTarget")) == 3


def test_it_is_mounted_over_tls_by_our_roles_through_the_access_point(full: Templates) -> None:
    """Any host of the network mounts it, as root."""
    statements = full.one("AWS::EFS::FileSystem")["FileSystemPolicy"]["Statement"]
    allowed = [s for s in statements if s["Effect"] == "Allow"]
    for statement in allowed:
        assert "elasticfilesystem:ClientRootAccess" not in statement["Action"]
        condition = statement["Condition"]
        assert condition["Bool"] == {"elasticfilesystem:AccessedViaMountTarget": "true"}
        assert "elasticfilesystem:AccessPointArn" in condition["StringLike"]
    denied = [s for s in statements if s["Effect"] == "Deny"]
    assert {"Bool": {"aws:SecureTransport": "false"}} in [s["Condition"] for s in denied]
    point = full.one("AWS::EFS::AccessPoint")
    assert point["PosixUser"] == {"Uid": "10001", "Gid": "10001"}
    assert point["RootDirectory"]["CreationInfo"]["Permissions"] == "700"


def test_data_stays_when_its_stack_goes(full: Templates) -> None:
    """Somebody deletes a stack, and with it the database."""
    for kind in ("AWS::EFS::FileSystem", "AWS::Backup::BackupVault", "AWS::KMS::Key"):
        for name, resource in full.of(kind).items():
            assert resource["DeletionPolicy"] == "Retain", name
    manifest = msgspec.json.decode((full.directory / "manifest.json").read_bytes())
    stacks = [a for a in manifest["artifacts"].values() if a["type"] == "aws:cloudformation:stack"]
    assert len(stacks) == 7
    assert all(stack["properties"]["terminationProtection"] for stack in stacks)


def test_it_is_backed_up_every_day(full: Templates) -> None:
    """A deleted database is gone."""
    [rule] = full.one("AWS::Backup::BackupPlan")["BackupPlan"]["BackupPlanRule"]
    assert rule["ScheduleExpression"] == "cron(0 2 * * ? *)"
    assert rule["Lifecycle"] == {"DeleteAfterDays": 35}
    assert "file-system" in _flat(full.one("AWS::Backup::BackupSelection"))


@pytest.mark.parametrize("task", ["MainTask", "WorkerTask", "FounderTask"])
def test_a_container_has_no_root_and_no_disk_of_its_own(full: Templates, task: str) -> None:
    """What has broken into one changes what it runs, and stays."""
    definition = full.one("AWS::ECS::TaskDefinition", task)
    [container] = definition["ContainerDefinitions"]
    assert container["User"] == "10001:10001"
    assert container["ReadonlyRootFilesystem"] is True
    assert container["Privileged"] is False
    assert container["LinuxParameters"]["Capabilities"]["Drop"] == ["ALL"]
    [shared] = [v for v in definition["Volumes"] if "EFSVolumeConfiguration" in v]
    configuration = shared["EFSVolumeConfiguration"]
    assert configuration["TransitEncryption"] == "ENABLED"
    assert configuration["AuthorizationConfig"]["IAM"] == "ENABLED"
    assert "FilesShared" in _flat(configuration["AuthorizationConfig"]["AccessPointId"])
    assert ":ExportsOutputRefFiles" in _flat(configuration["FilesystemId"])


@pytest.mark.parametrize("task", ["MainTask", "WorkerTask", "FounderTask"])
def test_no_secret_stands_in_a_task_definition(full: Templates, task: str) -> None:
    """Whoever may list tasks reads what workers prove themselves with."""
    [container] = full.one("AWS::ECS::TaskDefinition", task)["ContainerDefinitions"]
    plain = {one["Name"] for one in container["Environment"]}
    assert "STRONGROOM_ENROLMENT" not in plain
    assert "resolve:secretsmanager" not in _flat(container)


def test_each_kind_of_task_has_a_role_of_its_own(full: Templates) -> None:
    """A worker starts with the rights of a Main Worker."""
    roles = [
        _flat(full.one("AWS::ECS::TaskDefinition", task)["TaskRoleArn"])
        for task in ("MainTask", "WorkerTask", "FounderTask")
    ]
    assert [
        name
        for name, role in zip(("Main", "Worker", "Founder"), roles, strict=True)
        if f"GetAtt{name}" not in role
    ] == []


def test_tasks_are_replaced_before_they_go(full: Templates) -> None:
    """An update has a moment in which nobody serves; or a broken one goes on and on."""
    for name, service in full.of("AWS::ECS::Service").items():
        deployment = service["Properties"]["DeploymentConfiguration"]
        assert deployment["MinimumHealthyPercent"] == 100, name
        assert deployment["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}, name
        assert service["Properties"]["EnableExecuteCommand"] is False
        network = service["Properties"]["NetworkConfiguration"]["AwsvpcConfiguration"]
        assert len(network["Subnets"]) == 3, name
    for name in ("MainTask", "WorkerTask"):
        [container] = full.one("AWS::ECS::TaskDefinition", name)["ContainerDefinitions"]
        assert container["HealthCheck"]["Command"][-1] == "strongroom.rpc.probe"
        assert container["StopTimeout"] > limits.REQUEST_SECONDS


@pytest.mark.parametrize("name", ["MainTask", "WorkerTask"])
def test_a_collector_of_the_task_may_ask_for_metrics_and_nobody_else(
    full: Templates, name: str
) -> None:
    """A task does not start, for an address that is refused; or the network reads its figures."""
    [container] = full.one("AWS::ECS::TaskDefinition", name)["ContainerDefinitions"]
    environment = {one["Name"]: str(one["Value"]) for one in container["Environment"]}
    where = from_environment(environment)
    assert where is not None
    assert where[1] not in {one["ContainerPort"] for one in container["PortMappings"]}


def test_a_workers_cache_fits_into_its_memory(full: Templates, dev: Templates) -> None:
    """A busy worker is killed for its memory, again and again."""
    for templates in (full, dev):
        definition = templates.one("AWS::ECS::TaskDefinition", "WorkerTask")
        [container] = definition["ContainerDefinitions"]
        environment = {e["Name"]: e["Value"] for e in container["Environment"]}
        cache_bytes = int(environment["STRONGROOM_CACHE_BYTES"])
        memory_bytes = int(definition["Memory"]) * 1024 * 1024
        assert 1.6 * cache_bytes + limits.WORKER_MEMORY_BESIDE_CACHE_BYTES_MAX <= memory_bytes


def test_a_main_worker_has_the_memory_that_it_may_use(full: Templates) -> None:
    """A Main Worker is killed under load."""
    memory_bytes = int(full.one("AWS::ECS::TaskDefinition", "MainTask")["Memory"]) * 1024 * 1024
    assert memory_bytes > limits.MAIN_MEMORY_BYTES_MAX


def test_clients_come_over_tls_that_ends_twice(full: Templates) -> None:
    """Calls do not pass; or what passes is in the clear behind the load balancer."""
    listener = full.one("AWS::ElasticLoadBalancingV2::Listener", "Clients")
    assert listener["Protocol"] == "HTTPS"
    assert listener["SslPolicy"] == "ELBSecurityPolicy-TLS13-1-2-Res-2021-06"
    targets = full.one("AWS::ElasticLoadBalancingV2::TargetGroup", "Clients")
    assert (targets["Protocol"], targets["ProtocolVersion"]) == ("HTTPS", "GRPC")
    assert targets["HealthCheckPath"] == "/grpc.health.v1.Health/Check"


def test_workers_connections_are_passed_through(full: Templates) -> None:
    """The load balancer ends the mutual TLS: a Main Worker does not see who a worker is."""
    [balancer] = [
        b["Properties"]
        for b in full.of("AWS::ElasticLoadBalancingV2::LoadBalancer").values()
        if b["Properties"]["Type"] == "network"
    ]
    assert balancer["Scheme"] == "internal"
    for name, listener in full.of("AWS::ElasticLoadBalancingV2::Listener").items():
        if name.startswith("Subscriptions"):
            assert listener["Properties"]["Protocol"] == "TCP"
            assert "Certificates" not in listener["Properties"]


def test_workers_scale_by_cpu_and_by_what_waits(full: Templates) -> None:
    """Workers that wait for the disk are not busy, and no more of them come."""
    target = full.one("AWS::ApplicationAutoScaling::ScalableTarget")
    assert (target["MinCapacity"], target["MaxCapacity"]) == (3, 24)
    policies = full.of("AWS::ApplicationAutoScaling::ScalingPolicy").values()
    assert sorted(p["Properties"]["PolicyType"] for p in policies) == [
        "StepScaling",
        "TargetTrackingScaling",
    ]
    [waiting] = [
        r["Properties"]
        for n, r in full.of("AWS::Logs::MetricFilter").items()
        if n.startswith("Waiting")
    ]
    assert waiting["FilterPattern"] == '{ $.event = "load" }'
    assert waiting["MetricTransformations"][0]["MetricValue"] == "$.waiting"


def test_spot_takes_what_is_above_the_least(dev: Templates) -> None:
    """All workers of a stage are taken away at once."""
    strategies = dev.one("AWS::ECS::Service", "Workers")["CapacityProviderStrategy"]
    assert strategies == [
        {"Base": 2, "CapacityProvider": "FARGATE", "Weight": 0},
        {"CapacityProvider": "FARGATE_SPOT", "Weight": 1},
    ]


def test_the_lambda_is_bounded_and_where_it_belongs(full: Templates) -> None:
    """A flood of requests takes the account's whole concurrency; or it cannot see the disk."""
    function = full.one("AWS::Lambda::Function", "APIHandler")
    assert function["ReservedConcurrentExecutions"] == 200
    assert function["Runtime"] == "python3.11"
    assert limits.REQUEST_SECONDS < function["Timeout"] < 29
    assert len(function["VpcConfig"]["SubnetIds"]) == 3
    assert function["FileSystemConfigs"][0]["LocalMountPath"] == MOUNT
    [layer] = function["Layers"]
    assert layer["Ref"] in full.of("AWS::Lambda::LayerVersion")
    assert "access-point/" in _flat(function["FileSystemConfigs"][0]["Arn"])
    variables = function["Environment"]["Variables"]
    assert variables["STRONGROOM_SHARED_DIR"] == MOUNT
    assert not [v for v in variables.values() if "BEGIN" in str(v) or "resolve:" in str(v)]


def test_every_request_reaches_us_whole(full: Templates) -> None:
    """API Gateway refuses a method in its own words, or mangles bodies that are no text."""
    body = full.one("AWS::ApiGateway::RestApi")["Body"]
    assert body["x-amazon-apigateway-binary-media-types"] == ["*/*"]
    assert {"/", "/{proxy+}", "/entity/{database}", "/healthz"} <= set(body["paths"])
    for path, methods in body["paths"].items():
        assert list(methods) == ["x-amazon-apigateway-any-method"], path
        integration = methods["x-amazon-apigateway-any-method"]["x-amazon-apigateway-integration"]
        assert integration["type"] == "aws_proxy"


def test_the_gateways_own_refusals_are_problem_details(full: Templates) -> None:
    """A client that reads problem details meets something else at 413, 429 and 5xx."""
    responses = full.one("AWS::ApiGateway::RestApi")["Body"][
        "x-amazon-apigateway-gateway-responses"
    ]
    statuses = {kind: one.get("statusCode") for kind, one in responses.items()}
    assert statuses["REQUEST_TOO_LARGE"] == "413"
    assert statuses["THROTTLED"] == "429"
    assert statuses["ACCESS_DENIED"] == "403"
    assert statuses["INTEGRATION_TIMEOUT"] == statuses["DEFAULT_5XX"] == "503"
    for kind, response in responses.items():
        headers = response["responseParameters"]
        assert headers["gatewayresponse.header.Content-Type"] == "'application/problem+json'"
        template = response["responseTemplates"]["application/json"]
        problem = json.loads(template.replace("$context.status", "400"))
        assert problem["type"].startswith("urn:strongroom:problem:"), kind
        assert {"title", "status", "detail", "request_id"} <= set(problem)
        if response.get("statusCode") in {"429", "503"}:
            assert "gatewayresponse.header.Retry-After" in headers


def test_what_chalice_generates_is_not_taken_on_trust() -> None:
    """A change in Chalice leaves a path without an integration, and clients see it first."""
    with pytest.raises(ValueError, match="no path"):
        gateway.complete({"paths": {}})
    with pytest.raises(ValueError, match="no integration for /here"):
        gateway.complete({"paths": {"/here": {"get": {}}}})


def test_the_access_log_shows_no_entity_key(full: Templates) -> None:
    """Keys stand in queries: a log of them is a list of who talks."""
    # One: SAM is given to adding another, without limits and without a log.
    [stage] = [s["Properties"] for s in full.of("AWS::ApiGateway::Stage").values()]
    assert stage["StageName"] == "v1"
    wanted = json.loads(stage["AccessLogSetting"]["Format"])
    variables = {value.removeprefix("$context.") for value in wanted.values()}
    assert {"requestId", "status", "resourcePath"} <= variables
    assert not variables & {"path", "customDomain.basePathMatched", "requestOverride.path.proxy"}
    [method] = stage["MethodSettings"]
    assert method["DataTraceEnabled"] is False
    assert (method["ThrottlingRateLimit"], method["ThrottlingBurstLimit"]) == (1000, 2000)


def test_a_domain_with_mutual_tls_cannot_be_walked_around(full: Templates) -> None:
    """Clients without a certificate use API Gateway's own name."""
    domain = full.one("AWS::ApiGateway::DomainName")
    assert domain["SecurityPolicy"] == "TLS_1_2"
    assert domain["MutualTlsAuthentication"]["TruststoreUri"].startswith("s3://")
    body = full.one("AWS::ApiGateway::RestApi")["Body"]
    endpoint = body["x-amazon-apigateway-endpoint-configuration"]
    assert endpoint["disableExecuteApiEndpoint"] is True


def test_logs_are_encrypted_and_end(full: Templates) -> None:
    """Logs are kept for ever, readable for whoever may read logs."""
    for name, group in full.of("AWS::Logs::LogGroup").items():
        assert group["Properties"]["RetentionInDays"] == 365, name
        assert "Operations" in _flat(group["Properties"]["KmsKeyId"]), name


def test_what_is_alarmed_of_is_really_logged() -> None:
    """An alarm waits for a word that no process of ours says any more."""
    source = Path(gateway.__file__).parents[1]
    folders = ("main_api", "processing_fn", "layers/core/python/strongroom")
    text = "".join(p.read_text() for f in folders for p in (source / f).rglob("*.py"))
    assert [event for event in (*LOGGED, "load") if f'"{event}"' not in text] == []


def test_alarms_reach_somebody(full: Templates) -> None:
    """Something is wrong, and nobody hears of it."""
    for name, alarm in full.of("AWS::CloudWatch::Alarm", "monitoring").items():
        assert "Alarms" in _flat(alarm["Properties"]["AlarmActions"]), name
    assert full.one("AWS::SNS::Subscription")["Endpoint"] == "operator@example.com"
    assert "Operations" in _flat(full.one("AWS::SNS::Topic")["KmsMasterKeyId"])


def test_a_months_cost_is_watched(full: Templates) -> None:
    """A loop somewhere costs a month's money in a night."""
    budget = full.one("AWS::Budgets::Budget")
    assert budget["Budget"]["BudgetLimit"] == {"Amount": 1500, "Unit": "USD"}
    notified = budget["NotificationsWithSubscribers"]
    assert [n["Notification"]["NotificationType"] for n in notified] == ["ACTUAL", "FORECASTED"]
