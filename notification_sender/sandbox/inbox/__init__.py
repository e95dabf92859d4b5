"""The simulated recipients: they receive webhooks and emails, check them, keep them and show them."""
