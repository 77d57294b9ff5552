"""The station on the DICOM network: a listener that keeps what it is sent, and a sender.

::

    pdu.py        bytes of the upper layer <-> what they say          (PS3.8 9.3)
    command.py    bytes of a command set <-> what it says             (PS3.7 6.3, E)
    wire.py       a socket that reads whole PDUs, within a time and a size
    exchange.py   one association: fragments <-> messages, within a memory
    negotiate.py  who may call, which contexts, which roles
    answer.py     what is asked -> what is said: echo, store, find
    retrieve.py   C-GET and C-MOVE
    commit.py     storage commitment, both ways
    listen.py     the socket, the threads, the end of them
    send.py       the other side: echo, store, commit
    ask.py        the other side: find, move, get
    keeper.py     what the network needs of the station

Nothing is decoded on the way in: a data set is kept as it was encoded by its sender.
"""
