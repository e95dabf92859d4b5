"""``make diagnose``: faults and healthy stretches on real services, judged by what ``why --json`` says of each."""
