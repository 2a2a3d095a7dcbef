#!/bin/sh
# Passwords, keys and certificates of an installation by compose, into the folder `state`: once, as root, on the machine with the data.
# What is there already is left as it is, so that it may be run again, after an upgrade that brings a new stage for instance.
# Usage: prepare.sh [FOLDER] [NAME-OR-ADDRESS-OF-THIS-MACHINE …]
set -eu
cd "$(dirname "$0")"
state=${1:-state}
[ $# -eq 0 ] || shift
umask 077
mkdir -p "$state/tls" "$state/secrets" "$state/kafka" "$state/clickhouse"

password() { openssl rand -hex 24; }
# keep FILE COMMAND…: what the command prints, made once. No line break at the end: some programs would take it for a part.
keep() { file=$1; shift; [ -s "$file" ] || { printf %s "$("$@")" > "$file.part"; mv "$file.part" "$file"; }; }
hex_of() { printf %s "$1" | openssl dgst -sha256 -r | cut -d' ' -f1; }

# One authority for all; its key stays here, for nobody to read but root.
tls=$state/tls
[ -s "$tls/ca.key" ] || openssl ecparam -genkey -name prime256v1 -noout -out "$tls/ca.key"
[ -s "$tls/ca.pem" ] || openssl req -x509 -new -key "$tls/ca.key" -days 3650 -subj "/CN=callstream authority" \
  -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign -out "$tls/ca.pem"
chmod 644 "$tls/ca.pem"
names="DNS:localhost,IP:127.0.0.1"
for name in "$@"; do
  case $name in *[!0-9.]*) names="$names,DNS:$name" ;; *) names="$names,IP:$name" ;; esac
done
# certificate NAME OWNER: key and chain of a server, which its container's user can read and nobody else.
certificate() {
  [ -s "$tls/$1.pem" ] || {
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 -out "$tls/$1.key" 2> "$tls/openssl.log"
    openssl req -new -key "$tls/$1.key" -subj "/CN=$1" -out "$tls/$1.csr"
    printf 'subjectAltName=DNS:%s,%s\nextendedKeyUsage=serverAuth\n' "$1" "$names" > "$tls/$1.ext"
    openssl x509 -req -in "$tls/$1.csr" -CA "$tls/ca.pem" -CAkey "$tls/ca.key" -CAcreateserial -days 825 \
      -extfile "$tls/$1.ext" -out "$tls/$1.crt" 2> "$tls/openssl.log"
    cat "$tls/$1.crt" "$tls/ca.pem" > "$tls/$1.pem"
    cat "$tls/$1.key" "$tls/$1.pem" > "$tls/$1.both"
    rm "$tls/$1.csr" "$tls/$1.ext" "$tls/$1.crt"
  }
  owned "$2" "$tls/$1.key" "$tls/$1.pem" "$tls/$1.both"
}
# owned USER-ID FILE…: belongs to that user of a container. Without the right to give files away (a trial), they stay one's own.
owned() { user=$1; shift; [ "$(id -u)" != 0 ] || chown "$user:$user" "$@"; chmod 400 "$@"; }

certificate kafka 1000
certificate clickhouse 101
certificate postgresql 999
certificate s3 10002
certificate serve 10001
certificate play 10001

made=$state/secrets/made
mkdir -p "$made"
for name in clickhouse register s3 kafka-admin grafana customer-key; do keep "$made/$name" password; done
for purpose in audio transcript received; do keep "$made/$purpose-keys" sh -c 'echo "1:$(openssl rand -base64 32)"'; done
clickhouse="https://callstream:$(cat "$made/clickhouse")@clickhouse:8543/callstream"
register="postgresql+pg8000://callstream:$(cat "$made/register")@postgresql:5432/callstream"

# secrets STAGE WHAT…: the files that a stage is given, named as settings (CALLSTREAM_SECRETS_DIR).
accounts=""
secrets() {
  stage=$1; shift
  folder=$state/secrets/$stage
  mkdir -p "$folder"
  for what in "$@"; do
    case $what in
      kafka)
        account=callstream-$(printf %s "$stage" | tr _ -)
        keep "$folder/kafka_sasl_username" echo "$account"
        keep "$folder/kafka_sasl_password" password
        accounts="$accounts --add-scram SCRAM-SHA-512=[name=$account,password=$(cat "$folder/kafka_sasl_password")]"
        ;;
      clickhouse) keep "$folder/clickhouse_url" echo "$clickhouse" ;;
      register) keep "$folder/register_url" echo "$register" ;;
      s3) keep "$folder/s3_access_key" echo callstream; keep "$folder/s3_secret_key" cat "$made/s3" ;;
      audio | transcript | received) keep "$folder/${what}_keys" cat "$made/$what-keys" ;;
      customer) keep "$folder/customer_key_secret" cat "$made/customer-key" ;;
    esac
  done
  [ "$(id -u)" != 0 ] || chown -R 10001:10001 "$folder"
  chmod 500 "$folder"
  chmod 400 "$folder"/*
}
chmod 700 "$state"/secrets/*
secrets topics kafka
secrets commands kafka clickhouse register s3 audio transcript received customer
secrets serve kafka clickhouse register s3 audio received customer
secrets play clickhouse register s3 audio transcript
secrets collect kafka register s3 audio customer
secrets listen kafka register s3 audio transcript
secrets receive kafka register s3 received transcript
secrets judge kafka clickhouse register
secrets heal kafka clickhouse register s3 transcript
secrets second_read kafka clickhouse register
secrets sweep kafka register s3
secrets relay kafka register
secrets audit kafka clickhouse register s3
secrets keep kafka clickhouse register s3 audio transcript
secrets store kafka clickhouse register
secrets watch kafka clickhouse register
secrets reconcile kafka clickhouse register
secrets rollup clickhouse register
secrets notify kafka register
secrets observe kafka clickhouse register

# Kafka: the accounts are made when its folder is formatted; those of later stages by kafka-configs.sh (docs/kafka.md).
keep "$state/kafka/cluster-id" sh -c 'openssl rand 16 | openssl base64 | tr "+/" "-_" | tr -d "="'
admin=$(cat "$made/kafka-admin")
printf '%s\n' $accounts "--add-scram" "SCRAM-SHA-512=[name=admin,password=$admin]" > "$state/kafka/accounts"
sed "s/@ADMIN_PASSWORD@/$admin/" kafka/server.properties > "$state/kafka/server.properties"
owned 1000 "$state/kafka/accounts" "$state/kafka/server.properties" "$state/kafka/cluster-id"
[ "$(id -u)" != 0 ] || chown 1000:1000 "$state/kafka"

# ClickHouse knows the password by its digest alone.
sed "s/@PASSWORD_SHA256@/$(hex_of "$(cat "$made/clickhouse")")/" clickhouse/users.xml > "$state/clickhouse/users.xml"
owned 101 "$state/clickhouse/users.xml"
[ "$(id -u)" != 0 ] || chown 101:101 "$state/clickhouse"
cp "$made/register" "$state/secrets/postgresql-password"; owned 999 "$state/secrets/postgresql-password"
cp "$made/s3" "$state/secrets/s3-secret-key"; owned 10002 "$state/secrets/s3-secret-key"
mkdir -p "$state/s3/buckets" "$state/s3/versions"
[ "$(id -u)" != 0 ] || chown -R 10002:10002 "$state/s3"
cp "$made/grafana" "$state/secrets/grafana-password"; owned 472 "$state/secrets/grafana-password"
# Those who may not read the rest must pass through.
chmod 711 "$state" "$state/tls" "$state/secrets"
echo "prepared: $state. Keep a copy of it apart from the data: without its keys no recording opens (docs/custody.md#keys)."
