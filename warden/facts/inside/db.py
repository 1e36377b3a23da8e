# SPDX-License-Identifier: BSD-2-Clause
"""What is asked inside a jail of PostgreSQL: packages, files, its catalogue, and a login as the agent."""

from __future__ import annotations

# A role that can do more than it should, a database that everyone may connect to, and an extension of an older
# version than the package has are not told of: they are not what is wanted.
_CATALOGUE = """\
SELECT 'item server answers';
SELECT 'item role ' || rolname FROM pg_roles
 WHERE NOT (rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls);
SELECT 'item database ' || datname || ' ' || pg_get_userbyid(datdba) FROM pg_database
 WHERE NOT EXISTS (SELECT FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) WHERE grantee = 0);
"""
_EXTENSIONS = """\
\\\\connect ${role}_%s
SELECT 'item extension ' || current_database() || ' ' || name FROM pg_available_extensions
 WHERE installed_version = default_version;
"""
_STATEMENTS = _CATALOGUE + "".join(_EXTENSIONS % purpose for purpose in ("ops", "brain", "skills"))

# A database that is not there ends psql, which has told by then what it could; what is missing is seen by that.
QUESTION = f"""\
cd /
data=/var/db/postgres/data$version
packages "postgresql$version-server" "postgresql$version-client" "postgresql$version-contrib" \\
\t"postgresql$version-pgvector"
files /usr/local/etc/postgresql.conf /usr/local/etc/pg_hba.conf
variables postgresql_enable postgresql_data postgresql_flags postgresql_initdb_flags
[ -x /usr/local/bin/postgres ] || ill "PostgreSQL is not installed"
[ -e "$data/PG_VERSION" ] || ill "there is no cluster in $data"
found=$(cat "$data/PG_VERSION")
[ "$found" = "$version" ] || ill "cluster in $data is version $found of PostgreSQL, not $version"
/usr/local/bin/pg_isready -q -t 3 -h "$address" -p "$port"
case $? in
0) ;;
1) ill "PostgreSQL is starting, recovering or stopping, and takes no connections yet" ;;
*) ill "PostgreSQL does not answer at $address port $port" ;;
esac
export PGCONNECT_TIMEOUT=3 PGOPTIONS='-c statement_timeout=3s'
sql="{_STATEMENTS}"
psql="/usr/local/bin/psql -X -w -q -A -t -p $port -U postgres -d postgres -f -"
told=$(printf '%s' "$sql" | timeout 3 su -m postgres -c "$psql" 2>/dev/null)
case $told in
"item server answers"*) echo "$told" ;;
*) ill "PostgreSQL takes connections, but answers no query within 3 seconds" ;;
esac
export PGPASSWORD="$password"
timeout 3 /usr/local/bin/psql -X -w -q -h "$address" -p "$port" -U "$role" -d "${{role}}_ops" -c 'SELECT 1' \\
\t</dev/null >/dev/null 2>&1 && item login works
healthy
"""
