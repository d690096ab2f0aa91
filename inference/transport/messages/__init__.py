"""The messages between web processes and workers, as plain data.

    web    --QueuedRequest-->           queue.<model>             (queue layer)
    web    --QueuedRequest-->           queue.<model>.<worker>    (queue layer)
    web    --Abort, Renew, Resend-->    the worker's channel      (default layer)
    worker --Frame, LineState-->        the web process's channel (default layer)
    worker --WorkerHeartbeat-->         the group queue.<model>   (default layer)
    worker --Beat-->                    its own channel           (default layer)
    worker --StealRequests-->           another worker's channel  (default layer)
    web    --AskRunning-->              all web processes and workers (default layer)
    web    --CancelRequest-->           all web processes         (default layer)
    both   --RunningOfWeb, LineOfWorker, CancelAnswer--> a list that the question names

One file for each direction. ``inference.transport.codec`` writes and reads them.
"""
