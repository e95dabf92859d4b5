"""Writes the rules for Prometheus and the dashboard for Grafana from deploy/observability/objectives.yaml."""
