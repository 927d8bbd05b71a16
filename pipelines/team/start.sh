#!/bin/sh
# Start the tracking server behind the proxy; the same commands without Docker stand in TEAM.md.
set -eu
database="postgresql+psycopg://mlflow:${POSTGRES_PASSWORD}@database:5432"
umask 077
cat > "$MLFLOW_AUTH_CONFIG_PATH" <<END
[mlflow]
default_permission = READ
auth_cache_ttl_seconds = 60
database_uri = ${database}/mlflow_auth
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
END
exec mlflow server --app-name basic-auth --host 0.0.0.0 --port 5000 --workers 4 \
    --allowed-hosts "${SERVER_NAME}" \
    --backend-store-uri "${database}/mlflow" --artifacts-destination /artifacts
