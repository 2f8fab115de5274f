"""OpenTelemetry's metrics by its exporter of remote write: the server's URL as argument. Prints the exporter's result."""

import json
import sys

from opentelemetry.exporter.prometheus_remote_write import PrometheusRemoteWriteMetricsExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource

reader = InMemoryMetricReader()
meter = MeterProvider([reader], resource=Resource({"service.name": "shop", "deployment": ""})).get_meter("checks")
meter.create_counter("orders").add(3, {"path": "", "route": "/a"})
meter.create_up_down_counter("open").add(-2)
sizes = meter.create_histogram("sizes", explicit_bucket_boundaries_advisory=[1, 10])
for size in (0.5, 7):
    sizes.record(size, {"kind": ""})
exporter = PrometheusRemoteWriteMetricsExporter(f"{sys.argv[1]}/api/v1/write")
print(json.dumps({"export": exporter.export(reader.get_metrics_data()).name}))
