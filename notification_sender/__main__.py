"""``python -m notification_sender``: the same commands as ``notification-sender``."""

from notification_sender.cli import main

if __name__ == "__main__":
    main()
