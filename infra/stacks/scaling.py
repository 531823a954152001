"""How many Processing Workers there are: by how busy they are, and by what waits for its turn.

A worker that waits for the disk is not busy, so its CPU alone says too little. Each logs once a
minute how many requests wait; a metric filter makes a figure of it.
"""

from typing import Final

from aws_cdk import Duration, Stack
from aws_cdk import aws_applicationautoscaling as autoscaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_logs as logs

from infra.stage import Stage

NAMESPACE: Final = "Strongroom"
_CPU_PERCENT: Final = 60
_WAITING_PER_WORKER: Final = 8
"""Half of a worker's threads (strongroom.limits.WORKER_THREADS)."""


def scale(
    scope: Stack, stage: Stage, workers: ecs.FargateService, log: logs.ILogGroup
) -> cloudwatch.Metric:
    """Let the service scale; return the metric of what waits in a worker."""
    name = f"{stage.name}-requests-waiting"
    logs.MetricFilter(
        scope,
        "Waiting",
        log_group=log,
        metric_namespace=NAMESPACE,
        metric_name=name,
        filter_pattern=logs.FilterPattern.string_value("$.event", "=", "load"),
        metric_value="$.waiting",
    )
    waiting = cloudwatch.Metric(
        namespace=NAMESPACE, metric_name=name, statistic="Average", period=Duration.minutes(1)
    )
    count = workers.auto_scale_task_count(
        min_capacity=stage.worker_tasks.least, max_capacity=stage.worker_tasks.most
    )
    count.scale_on_cpu_utilization(
        "Busy",
        target_utilization_percent=_CPU_PERCENT,
        scale_in_cooldown=Duration.minutes(5),
        scale_out_cooldown=Duration.minutes(1),
    )
    # In steps, not towards a target: none waiting is the rule, and no reason to have fewer workers.
    count.scale_on_metric(
        "Waited",
        metric=waiting,
        scaling_steps=[
            autoscaling.ScalingInterval(upper=0, change=0),
            autoscaling.ScalingInterval(lower=_WAITING_PER_WORKER, change=1),
            autoscaling.ScalingInterval(lower=4 * _WAITING_PER_WORKER, change=3),
        ],
        adjustment_type=autoscaling.AdjustmentType.CHANGE_IN_CAPACITY,
        cooldown=Duration.minutes(2),
        evaluation_periods=2,
    )
    return waiting
