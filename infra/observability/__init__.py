"""Alert rules of Prometheus and a dashboard of Grafana, written out of the metrics' catalogue."""
