"""Who notices: alarms, a dashboard of the same figures, and a budget.

Every figure is one that AWS has by itself, or that a metric filter makes of a line that our
processes log (`event`), or that the Lambda tells in CloudWatch's embedded metric format (`OWN`).
"""

from typing import Any, Final

from aws_cdk import Duration, Stack
from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra.stacks.agreed import LOGGED, OWN
from infra.stacks.api import STAGE_NAME, Api
from infra.stacks.keys import Keys
from infra.stacks.scaling import NAMESPACE
from infra.stacks.services import Services
from infra.stacks.storage import Storage
from infra.stage import Stage

_MINUTE: Final = Duration.minutes(1)
_FIVE: Final = Duration.minutes(5)


class Monitoring(Stack):
    """Alarms, a dashboard, a budget."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        stage: Stage,
        keys: Keys,
        storage: Storage,
        services: Services,
        api: Api,
        **kwargs: Any,  # noqa: ANN401 - the CDK's
    ) -> None:
        """Lay them out."""
        super().__init__(scope, name, **kwargs)
        self._stage, self._api, self._services, self._storage = stage, api, services, storage
        self.topic = sns.Topic(self, "Alarms", master_key=keys.operations, enforce_ssl=True)
        for service in ("cloudwatch", "budgets"):
            self.topic.add_to_resource_policy(
                iam.PolicyStatement(
                    principals=[iam.ServicePrincipal(f"{service}.amazonaws.com")],
                    actions=["sns:Publish"],
                    resources=[self.topic.topic_arn],
                    conditions={"StringEquals": {"aws:SourceAccount": self.account}},
                )
            )
        if stage.alarm_email:
            self.topic.add_subscription(subscriptions.EmailSubscription(stage.alarm_email))
        self._figures = self._all_figures()
        self._alarm()
        self._draw()
        if stage.budget_dollars:
            self._budget()

    def _all_figures(self) -> dict[str, cloudwatch.IMetric]:
        services, api = self._services, self._api
        function = {"FunctionName": api.function.ref}
        gateway = {"ApiName": f"strongroom-{self._stage.name}", "Stage": STAGE_NAME}
        files = {"FileSystemId": self._storage.files.file_system_id}

        def service(name: str, of: str, statistic: str = "Average") -> cloudwatch.Metric:
            fargate = services.main if of == "main" else services.workers
            return _metric(
                "AWS/ECS",
                name,
                {
                    "ClusterName": services.cluster.cluster_name,
                    "ServiceName": fargate.service_name,
                },
                statistic,
            )

        return {
            "requests": _metric("AWS/ApiGateway", "Count", gateway, "Sum"),
            "failed": _metric("AWS/ApiGateway", "5XXError", gateway, "Average"),
            "refused": _metric("AWS/ApiGateway", "4XXError", gateway, "Average"),
            "latency": _metric("AWS/ApiGateway", "Latency", gateway, "p99"),
            "lambda errors": _metric("AWS/Lambda", "Errors", function, "Sum"),
            "lambda throttled": _metric("AWS/Lambda", "Throttles", function, "Sum"),
            "lambda at once": _metric("AWS/Lambda", "ConcurrentExecutions", function, "Maximum"),
            "worker CPU": service("CPUUtilization", "worker"),
            "worker memory": service("MemoryUtilization", "worker", "Maximum"),
            "main CPU": service("CPUUtilization", "main"),
            "main memory": service("MemoryUtilization", "main", "Maximum"),
            "requests waiting in a worker": services.queue,
            "file system, share of its limit": _metric(
                "AWS/EFS", "PercentIOLimit", files, "Maximum"
            ),
            "file system, clients": _metric("AWS/EFS", "ClientConnections", files, "Sum"),
            "backups failed": _metric("AWS/Backup", "NumberOfBackupJobsFailed", {}, "Sum"),
            **{
                name: _metric(NAMESPACE, one.metric.name, {**function, **one.labels}, one.statistic)
                for name, one in OWN.items()
            },
        }

    def _alarm(self) -> None:
        rows: list[tuple[str, str, float, int, str]] = [
            ("Failed", "failed", 0.01, 5, "One request in a hundred fails"),
            ("Slow", "latency", 2_000, 5, "One request in a hundred takes more than 2 s"),
            ("LambdaErrors", "lambda errors", 5, 3, "The Lambda ends without an answer"),
            (
                "LambdaAtOnce",
                "lambda at once",
                0.9 * self._stage.lambda_concurrency,
                5,
                "The Lambda's reserved concurrency is nearly used up; then requests are refused",
            ),
            ("WorkerMemory", "worker memory", 90, 5, "A worker is about to be killed"),
            ("MainMemory", "main memory", 90, 5, "A Main Worker is about to be killed"),
            ("WorkerBusy", "worker CPU", 85, 15, "Workers are busy, and no more of them come"),
            ("FileSystem", "file system, share of its limit", 90, 10, "EFS is at its limit"),
            ("Backup", "backups failed", 1, 1, "A backup has failed"),
            ("Defects", "answers of 5xx", 10, 5, "The Lambda answers with errors of the server"),
            ("WorkersLost", "workers lost", 3, 5, "Workers do not answer the Lambda"),
            ("Guessing", "failed authentications", 500, 5, "Somebody may be guessing secrets"),
        ]
        for name, figure, threshold, minutes, text in rows:
            self._one(name, self._figures[figure], threshold, minutes, text)
        for service, least in (("main", 1), ("worker", self._stage.worker_tasks.least)):
            self._too_few(service, least)
        for event, text in LOGGED.items():
            self._one(_camel(event), self._logged(event), 1, 1, text)

    def _one(
        self, name: str, metric: cloudwatch.IMetric, threshold: float, minutes: int, text: str
    ) -> None:
        alarm = cloudwatch.Alarm(
            self,
            name,
            metric=metric,
            threshold=threshold,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            evaluation_periods=minutes,
            datapoints_to_alarm=max(1, minutes * 3 // 5),
            alarm_description=text,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        alarm.add_alarm_action(actions.SnsAction(self.topic))
        alarm.add_ok_action(actions.SnsAction(self.topic))

    def _too_few(self, service: str, least: int) -> None:
        fargate = self._services.main if service == "main" else self._services.workers
        running = cloudwatch.Metric(
            namespace="ECS/ContainerInsights",
            metric_name="RunningTaskCount",
            dimensions_map={
                "ClusterName": self._services.cluster.cluster_name,
                "ServiceName": fargate.service_name,
            },
            statistic="Minimum",
            period=_MINUTE,
        )
        alarm = cloudwatch.Alarm(
            self,
            f"TooFew{service.title()}",
            metric=running,
            threshold=least,
            comparison_operator=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
            evaluation_periods=5,
            datapoints_to_alarm=3,
            alarm_description=f"Fewer {service} tasks run than should",
            treat_missing_data=cloudwatch.TreatMissingData.BREACHING,
        )
        alarm.add_alarm_action(actions.SnsAction(self.topic))

    def _logged(self, event: str) -> cloudwatch.Metric:
        """Return how often any process has logged an event, in five minutes."""
        name = f"{self._stage.name}-{event}"
        groups = {
            "Main": self._services.main_log,
            "Worker": self._services.worker_log,
            "Api": self._api.log,
        }
        for source, group in groups.items():
            logs.MetricFilter(
                self,
                f"{_camel(event)}{source}",
                log_group=group,
                metric_namespace=NAMESPACE,
                metric_name=name,
                filter_pattern=logs.FilterPattern.string_value("$.event", "=", event),
                metric_value="1",
            )
        return cloudwatch.Metric(
            namespace=NAMESPACE, metric_name=name, statistic="Sum", period=_FIVE
        )

    def _draw(self) -> None:
        dashboard = cloudwatch.Dashboard(
            self, "Dashboard", dashboard_name=f"strongroom-{self._stage.name}"
        )
        for title, names in _ROWS.items():
            dashboard.add_widgets(
                *[
                    cloudwatch.GraphWidget(
                        title=f"{title}: {name}", left=[self._figures[name]], width=8
                    )
                    for name in names
                ]
            )

    def _budget(self) -> None:
        budgets.CfnBudget(
            self,
            "Budget",
            budget={
                "budgetType": "COST",
                "timeUnit": "MONTHLY",
                "budgetLimit": {"amount": self._stage.budget_dollars, "unit": "USD"},
                "costFilters": {"TagKeyValue": [f"user:deployment$strongroom-{self._stage.name}"]},
            },
            notifications_with_subscribers=[
                {
                    "notification": {
                        "comparisonOperator": "GREATER_THAN",
                        "notificationType": kind,
                        "threshold": threshold,
                        "thresholdType": "PERCENTAGE",
                    },
                    "subscribers": [{"subscriptionType": "SNS", "address": self.topic.topic_arn}],
                }
                for kind, threshold in (("ACTUAL", 80), ("FORECASTED", 100))
            ],
        )


_ROWS: Final = {
    "API": ("requests", "failed", "refused", "latency"),
    "Lambda": ("lambda errors", "lambda throttled", "lambda at once"),
    "Told by the Lambda": tuple(OWN),
    "Workers": ("worker CPU", "worker memory", "requests waiting in a worker"),
    "Main Workers": ("main CPU", "main memory"),
    "Storage": (
        "file system, share of its limit",
        "file system, clients",
        "backups failed",
    ),
}


def _metric(
    namespace: str, name: str, dimensions: dict[str, str], statistic: str
) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace=namespace,
        metric_name=name,
        dimensions_map=dimensions or None,
        statistic=statistic,
        period=_MINUTE,
    )


def _camel(event: str) -> str:
    return "".join(word.title() for word in event.split("-"))
