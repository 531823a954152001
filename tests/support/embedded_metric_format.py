"""The published specification of CloudWatch's embedded metric format, as a judge of lines.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import json
from typing import Any, Final

import jsonschema

LINE_BYTES_MAX: Final = 256 * 1024
"""What a log event holds; newer texts of the specification allow more."""
UNITS: Final = ["Seconds", "Bytes", "Count"]
# The schema of the specification's "Metadata object", "MetricDirective", "DimensionSet" and
# "MetricDefinition".
SCHEMA: Final = {
    "type": "object",
    "required": ["_aws"],
    "properties": {
        "_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "properties": {
                "Timestamp": {"type": "integer", "minimum": 0},
                "CloudWatchMetrics": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["Namespace", "Dimensions", "Metrics"],
                        "additionalProperties": False,
                        "properties": {
                            "Namespace": {"type": "string", "minLength": 1, "maxLength": 1024},
                            "Dimensions": {
                                "type": "array",
                                "minItems": 1,
                                "items": {
                                    "type": "array",
                                    "maxItems": 30,
                                    "items": {"type": "string", "minLength": 1, "maxLength": 250},
                                },
                            },
                            "Metrics": {
                                "type": "array",
                                "maxItems": 100,
                                "items": {
                                    "type": "object",
                                    "required": ["Name"],
                                    "additionalProperties": False,
                                    "properties": {
                                        "Name": {
                                            "type": "string",
                                            "minLength": 1,
                                            "maxLength": 1024,
                                        },
                                        "Unit": {"enum": UNITS},
                                    },
                                },
                            },
                        },
                    },
                },
            },
        }
    },
}


def judged(line: bytes) -> dict[str, Any]:
    """Return a document, after it was held against the specification."""
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert len(line) <= LINE_BYTES_MAX
    document: dict[str, Any] = json.loads(line)
    jsonschema.validate(document, SCHEMA)
    for directive in document["_aws"]["CloudWatchMetrics"]:
        names = [one["Name"] for one in directive["Metrics"]]
        assert len(names) == len(set(names))
        for name in names:
            target = document[name]
            values = target if isinstance(target, list) else [target]
            assert 0 < len(values) <= 100
            assert all(isinstance(value, int | float) for value in values)
        for name in {name for some in directive["Dimensions"] for name in some}:
            assert isinstance(document[name], str)
            assert 0 < len(document[name]) <= 1024
    return document
