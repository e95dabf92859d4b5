"""The Kubernetes assets in deploy/: rendered from the chart, and checked without a cluster."""
