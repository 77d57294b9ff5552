"""The station on the DICOM network: a listener that keeps what it is sent, and a sender.

::

    pdu.py        bytes of the upper layer <-> what they say          (PS3.8 9.3)
    command.py    bytes of a command set <-> what it says             (PS3.7 6.3, E)
    wire.py       a socket that reads whole PDUs, within a time and a size
    exchange.py   one association: fragments <-> messages, within a memory
    negotiate.py  who may call, which contexts, which roles
    answer.py     what is asked -> what is said: echo, store, find
    retrieve.py   C-GET and C-MOVE
    commit.py     storage commitment, both ways; reports.py: where reports are waited for
    desk.py       what all services share; identifier.py: the data sets of questions
    listen.py     the socket, the threads, the end of them
    call.py       an association of our own is opened
    give.py       an instance goes out over it
    send.py       the station as a caller: echo, store, commit
    ask.py        the station as a caller: find, move, get
    keeper.py     what the network needs of the station
    bench.py      how fast it receives, beside others

Nothing is decoded on the way in: a data set is kept as it was encoded by its sender.
"""
