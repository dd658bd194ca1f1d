"""The wire types of each API, once: requests, answers and errors as their vendors write them.

A file per API holds what its readers decode and what is written to it: types, the words that an API knows,
and its convention of counting tokens. There is no input or output here, and no policy: a type refuses what
has the wrong shape and says nothing else.

An object has several types where it is read for several purposes, and its file says which:

    ChatRequest              checked by the gateway, with the vendor's bounds; the rest passes unseen
    FullChatRequest          read by a translation: all that another dialect has words for
    EngineChatRequest        taken by the embedded engine, which can do less than the vendors
    Completion               read by a translation: the words of an answer
    MeteredCompletion        read by a usage parser, of every event: usage, end and errors alone

The fakes of vendors (`testing.upstreams`) share none of these types. They check requests by the types of
the vendors' own packages; a fake that read by ours would take our mistakes for the vendor's rules.
"""
