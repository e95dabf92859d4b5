"""The simulated recipients: they take webhooks and emails, check them, keep them and show them."""
