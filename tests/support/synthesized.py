"""The templates of the CDK app, and what the account looks like that they were deployed to.

There is no AWS here: moto's CloudFormation makes the resources that it knows, out of the very
templates, and they are read back through boto3. What it does not know is listed
(`UNKNOWN_TO_MOTO`).
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import boto3

PARTS: Final = ("keys", "network", "storage", "founding", "services", "api", "monitoring")
"""In the order in which they are deployed."""

Resource = dict[str, Any]
ACCOUNT: Final = "123456789012"
"""The one that moto is."""
_CERTIFICATE: Final = re.compile(r"arn:aws:acm:[a-z0-9-]+:[0-9]+:certificate/[0-9a-f-]+")

UNKNOWN_TO_MOTO: Final = frozenset(
    {
        "AWS::ApiGateway::Account",
        "AWS::ApiGateway::BasePathMapping",
        "AWS::ApiGateway::DomainName",
        "AWS::ApplicationAutoScaling::ScalableTarget",
        "AWS::ApplicationAutoScaling::ScalingPolicy",
        "AWS::Backup::BackupPlan",
        "AWS::Backup::BackupSelection",
        "AWS::Backup::BackupVault",
        "AWS::Budgets::Budget",
        "AWS::CloudWatch::Alarm",
        "AWS::CloudWatch::Dashboard",
        "AWS::ECS::ClusterCapacityProviderAssociations",
        "AWS::Logs::MetricFilter",
        "AWS::S3::BucketPolicy",
        "AWS::SNS::Subscription",
        "AWS::SNS::TopicPolicy",
    }
)
"""Of these the templates say what is asked for, and nobody here has made them."""

UNLISTED: Final = frozenset({"AWS::ApiGateway::Stage", "AWS::EC2::SecurityGroupEgress"})
"""Made, but not among a stack's resources: moto has no physical id of theirs."""


@dataclass(frozen=True)
class Templates:
    """The templates of one stage, by part; SAM is expanded as CloudFormation would."""

    stage: str
    directory: Path
    parts: dict[str, dict[str, Any]]

    @classmethod
    def read(cls, directory: Path, stage: str) -> "Templates":
        """Read what `python -m infra` has written."""
        parts = {}
        for part in PARTS:
            text = (directory / stage / f"strongroom-{stage}-{part}.template.json").read_text()
            parts[part] = _expanded(json.loads(text))
        return cls(stage, directory / stage, parts)

    def of(self, kind: str, part: str = "") -> dict[str, Resource]:
        """Return the resources of a type, by their logical ids."""
        found = {
            name: resource
            for one, template in self.parts.items()
            for name, resource in template["Resources"].items()
            if resource["Type"] == kind and part in {"", one}
        }
        assert found, f"no {kind}"
        return found

    def one(self, kind: str, starts: str = "", part: str = "") -> Resource:
        """Return the properties of the one resource of a type whose logical id starts so."""
        found = [r for name, r in self.of(kind, part).items() if name.startswith(starts)]
        assert len(found) == 1, [kind, starts, len(found)]
        properties: Resource = found[0]["Properties"]
        return properties

    def statements(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield every statement of every identity's policy, with where it stands."""
        for part, template in self.parts.items():
            for name, resource in template["Resources"].items():
                properties = resource.get("Properties", {})
                documents = [one["PolicyDocument"] for one in properties.get("Policies", [])]
                if resource["Type"] in {"AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"}:
                    documents.append(properties["PolicyDocument"])
                for document in documents:
                    for statement in document["Statement"]:
                        yield f"{part}/{name}", statement


class Account:
    """An account of moto's that the templates were deployed to; only within `mock_aws`."""

    def __init__(self, region: str) -> None:
        """Nothing is deployed yet."""
        self.region = region
        self._formation = self.client("cloudformation")
        self.missing: dict[str, str] = {}

    def client(self, service: str) -> Any:  # noqa: ANN401 - boto3's own
        """Return a client."""
        return boto3.client(
            service,  # type: ignore[call-overload] # by name
            region_name=self.region,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    def deploy(self, templates: Templates) -> None:
        """Deploy the parts, one after the other."""
        self._publish(templates.directory)
        for part, template in templates.parts.items():
            prepared = self._prepared(template)
            name = f"strongroom-{templates.stage}-{part}"
            self._formation.create_stack(StackName=name, TemplateBody=json.dumps(prepared))
            stack = self._formation.describe_stacks(StackName=name)["Stacks"][0]
            assert stack["StackStatus"] == "CREATE_COMPLETE", stack
            made = {r["LogicalResourceId"] for r in self._resources(name)}
            self.missing |= {
                logical: resource["Type"]
                for logical, resource in prepared["Resources"].items()
                if logical not in made
            }

    def physical(self, part: str, starts: str, kind: str) -> str:
        """Return the physical id of the one resource of a type whose logical id starts so."""
        found = [
            r["PhysicalResourceId"]
            for r in self._resources(part)
            if r["LogicalResourceId"].startswith(starts) and r["ResourceType"] == kind
        ]
        assert len(found) == 1, [part, starts, found]
        return str(found[0])

    def _resources(self, stack: str) -> list[dict[str, Any]]:
        pages = self._formation.get_paginator("list_stack_resources").paginate(StackName=stack)
        return [r for page in pages for r in page["StackResourceSummaries"]]

    def _publish(self, directory: Path) -> None:
        """Put the zip files where the templates look for them, as the CDK's command line does."""
        storage = self.client("s3")
        bucket = f"cdk-hnb659fds-assets-{ACCOUNT}-{self.region}"
        place = {"LocationConstraint": self.region}
        storage.create_bucket(Bucket=bucket, CreateBucketConfiguration=place)
        for path in directory.glob("asset.*.zip"):
            key = path.name.removeprefix("asset.")
            storage.put_object(Bucket=bucket, Key=key, Body=path.read_bytes())

    def _prepared(self, template: dict[str, Any]) -> dict[str, Any]:
        """Return a template as moto takes it.

        It has no secrets in CloudFormation (here they are made beside it, and named), no
        certificate that it has not issued, no load balancer of TCP, no API that is one document,
        and it stumbles over tags of keys.
        """
        text = json.dumps(template)
        for name, resource in template["Resources"].items():
            if resource["Type"] == "AWS::SecretsManager::Secret":
                secrets = self.client("secretsmanager")
                arn = secrets.create_secret(Name=name, SecretString="{}")["ARN"]
                text = text.replace(json.dumps({"Ref": name}), json.dumps(arn))
        for named in set(_CERTIFICATE.findall(text)):
            authority = self.client("acm")
            made = authority.request_certificate(DomainName="rooms.example.com")["CertificateArn"]
            text = text.replace(named, made)
        prepared: dict[str, Any] = json.loads(text)
        prepared.get("Parameters", {}).pop("BootstrapVersion", None)
        prepared.pop("Rules", None)
        resources = prepared["Resources"]
        for name in [n for n, r in resources.items() if r["Type"] == "AWS::SecretsManager::Secret"]:
            del resources[name]
        for resource in resources.values():
            properties = resource.get("Properties", {})
            if resource["Type"] == "AWS::KMS::Key":
                properties.pop("Tags", None)
            if properties.get("Protocol") == "TCP":
                properties["Protocol"] = "HTTP"
        for name in [n for n, r in resources.items() if r["Type"] == "AWS::ApiGateway::RestApi"]:
            _spell_out(resources, name)
        return prepared


def _spell_out(resources: dict[str, Resource], api: str) -> None:
    """Make a resource and its methods of each path of an API's document."""
    document = resources[api]["Properties"].pop("Body")
    rest_api = {"Ref": api}
    made: dict[str, str] = {}
    for path, methods in document["paths"].items():
        above = ""
        for part in filter(None, path.split("/")):
            here = f"{above}/{part}"
            if here not in made:
                made[here] = f"Path{len(made)}"
                parent = {"Ref": made[above]} if above else {"Fn::GetAtt": [api, "RootResourceId"]}
                resources[made[here]] = {
                    "Type": "AWS::ApiGateway::Resource",
                    "Properties": {"RestApiId": rest_api, "ParentId": parent, "PathPart": part},
                }
            above = here
        for number, (method, told) in enumerate(methods.items()):
            integration = told["x-amazon-apigateway-integration"]
            resources[f"Method{len(resources)}x{number}"] = {
                "Type": "AWS::ApiGateway::Method",
                "Properties": {
                    "RestApiId": rest_api,
                    "ResourceId": {"Ref": made[path]}
                    if path in made
                    else {"Fn::GetAtt": [api, "RootResourceId"]},
                    "HttpMethod": "ANY" if method.startswith("x-amazon") else method.upper(),
                    "AuthorizationType": "NONE",
                    "Integration": {
                        "Type": integration["type"].upper(),
                        "IntegrationHttpMethod": integration["httpMethod"],
                        "Uri": integration["uri"],
                    },
                },
            }
    methods = [n for n, r in resources.items() if r["Type"] == "AWS::ApiGateway::Method"]
    for resource in resources.values():
        if resource["Type"] == "AWS::ApiGateway::Deployment":
            resource["DependsOn"] = methods


class _NoManagedPolicies:
    """SAM asks IAM for them only where a function names one by its short name; ours do not."""

    def load(self) -> dict[str, str]:
        return {}


def _expanded(template: dict[str, Any]) -> dict[str, Any]:
    if "Transform" not in template:
        return template
    from samtranslator.translator.transform import transform  # noqa: PLC0415 - heavy

    os.environ.setdefault("AWS_DEFAULT_REGION", "eu-central-1")
    expanded: dict[str, Any] = transform(template, {}, _NoManagedPolicies())
    return expanded
