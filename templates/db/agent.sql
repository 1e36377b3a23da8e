-- {{ mark }}: the role and the databases of agent {{ tenant.agent }}, and those of the platform.
-- Whatever is there already stays as it is. The variable login_works tells whether the agent's password needs no change.
\getenv password DB_PASSWORD

-- a password is no matter for the log
SET log_statement = 'none';
SET log_min_duration_statement = -1;
SET log_min_error_statement = 'panic';
SET password_encryption = 'scram-sha-256';
SET client_min_messages = 'warning';

SELECT format('CREATE ROLE %I NOLOGIN', name)
  FROM (VALUES ('{{ tenant.role }}'), ('{{ system }}')) AS wanted (name)
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
SELECT format('ALTER ROLE %I NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS', rolname)
  FROM pg_roles
 WHERE rolname IN ('{{ tenant.role }}', '{{ system }}')
   AND (rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls) \gexec
\if :login_works
\else
ALTER ROLE "{{ tenant.role }}" LOGIN PASSWORD :'password';
\endif

SELECT format('CREATE DATABASE %I OWNER %I TEMPLATE template0 ENCODING ''UTF8''', name, owner)
  FROM (VALUES {{ owners }}) AS wanted (name, owner)
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = name) \gexec
SELECT format('ALTER DATABASE %I OWNER TO %I', name, owner)
  FROM (VALUES {{ owners }}) AS wanted (name, owner)
  JOIN pg_database ON datname = name
 WHERE pg_get_userbyid(datdba) <> owner \gexec
-- grantee 0 is PUBLIC, which may connect to every new database
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', datname)
  FROM pg_database
 WHERE (datname, pg_get_userbyid(datdba)) IN ({{ owners }}, ('postgres', 'postgres'), ('template1', 'postgres'))
   AND EXISTS (SELECT FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) WHERE grantee = 0) \gexec
{% for database in tenant.databases %}

\connect "{{ database }}"
SET client_min_messages = 'warning';
{% for extension in extensions %}
CREATE EXTENSION IF NOT EXISTS "{{ extension }}";
{% endfor %}
SELECT format('ALTER EXTENSION %I UPDATE', name)
  FROM pg_available_extensions
 WHERE installed_version <> default_version \gexec
{% endfor %}
