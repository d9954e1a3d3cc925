#!/bin/sh
# Makes the roles (deploy/roles.sql), gives them what they may do with the tables that are there, and their passwords.
# By the superuser, before and after each migrate; it may be run at any time.
set -eu
psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --file=/roles.sql
# through psql's variables, so that no password is read as SQL
psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 \
    --set=owner="$OWNER_PASSWORD" --set=web="$WEB_PASSWORD" --set=worker="$WORKER_PASSWORD" <<'SQL'
ALTER ROLE license_owner PASSWORD :'owner';
ALTER ROLE license_web PASSWORD :'web';
ALTER ROLE license_worker PASSWORD :'worker';
SQL
