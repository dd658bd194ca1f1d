"""The admin API (`/admin/v1`): accounts for operators and for customers' own members.

It has a port and credentials of its own: a gateway's key is nothing here, a member's token nothing at the
gateway.

app          requests to routes: who asks, what for, and the answer
routes       the table of the API, from which its OpenAPI document is made as well
access       what is known of a request by its head: host, token, idempotency key
request      a request as the functions of the routes see it
once         answers that are kept, so that a repeated request changes nothing twice
organisations, customers, projects, keys, limits, plans, prepaid, members,
usage, audit
             the functions of the routes, with the types of bodies and answers
"""
