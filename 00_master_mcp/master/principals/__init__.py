"""Who may talk to the hub: the tokens of its files and table, and people of an OpenID provider."""

from master.principals.door import clients_only as clients_only
from master.principals.first import ADMIN as ADMIN
from master.principals.first import OWNER as OWNER
from master.principals.first import TOKEN_PREFIX as TOKEN_PREFIX
from master.principals.first import TokenBook as TokenBook
from master.principals.first import open_token_book as open_token_book
from master.principals.known import Principals as Principals
