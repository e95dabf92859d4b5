"""What else one could take in Python, beside the floor and the full job: each takes a message, posts a body, acks.

``make bench PEERS=1`` runs them. Their packages are in ``requirements/peers.lock`` and in a virtual environment of
their own, because they allow other versions than ours. Every peer is set up as its own documentation advises where
throughput matters, and started by its own command line:

=============  ======================================================================================================
all            One worker process on the core that the floor and the full job have. A durable queue, persistent
               messages, published by the peer's own client before the worker starts, in its own format: the id of the
               webhook and the work unit of the full job. The body is as large as a notification of ours. The message
               is acked after the receiver has answered. No log line a message, no result is stored.
`FastStream`   A subscriber with ``prefetch_count`` 200, a quorum queue, one aiohttp session without a limit of
               connections. ``apply_types=False`` and ``logger=None`` leave out validation and two log lines a message.
               orjson and uvloop are installed: its command line takes them by itself.
`taskiq`       `taskiq-aio-pika` with ``qos`` 200, its default quorum queue, 200 tasks at a time, acked when executed,
               ``--no-parse``, orjson as serializer, the same aiohttp session. Its command line takes uvloop by itself.
`Dramatiq`     Threads, its default middleware and its classic queue: it has no setting for a quorum queue. It
               prefetches two messages a thread.
`Celery`       The pool of threads, a quorum queue, ``task_acks_late``, four messages prefetched a thread (its default).
               No results, no events, no gossip, no mingle, no remote control. Of its pools that of threads did best
               here: two processes on the one core took 1.8 times its CPU time, and gevent stood nearly still (11
               messages a second, with the core idle), for a reason that was not looked for.
=============  ======================================================================================================

Threads post by `requests`, one session each, as most users do it. A second row has `urllib3`, which `requests` is built
on: what `requests` adds is more than half of what a message costs there.

Threads are ``drivers.FEW`` where the receiver answers at once and ``drivers.MANY`` where it takes its time: fewer
cannot keep 200 requests in flight, more cost up to a tenth more while nobody waits. A user has to choose one number,
these get both.
"""
