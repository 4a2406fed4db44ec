#!/bin/bash
# Runs once, when PostgreSQL makes its data folder: a role and a database of its own for each service
# that keeps state here, so that none can read or forge what is another's.
set -euo pipefail

for service in master cmdb secrets; do
    # psql reads the password itself: it never stands in an argument.
    PASSWORD_FILE="/passwords/postgres/$service" \
        psql --username "$POSTGRES_USER" --dbname postgres --no-psqlrc --quiet \
        --set ON_ERROR_STOP=1 --set service="$service" <<'SQL'
\set password `cat "$PASSWORD_FILE"`
CREATE ROLE :"service" LOGIN PASSWORD :'password';
CREATE DATABASE :"service" OWNER :"service";
REVOKE ALL ON DATABASE :"service" FROM PUBLIC;
SQL
done
psql --username "$POSTGRES_USER" --dbname postgres --no-psqlrc --quiet --set ON_ERROR_STOP=1 \
    --command 'REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC'
