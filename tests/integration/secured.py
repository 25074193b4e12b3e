"""A real Kafka that demands sign-ins and TLS, one for the whole trial run, with a listener per way.

    kafka = await secured()
    kafka.environment("SASL", LFS_KAFKA_SASL_MECHANISM="PLAIN", ...)   # for a proxy in front of that listener

| listener | what it is |
|---|---|
| SASL     | every mechanism, plaintext |
| SASLTLS  | every mechanism, over TLS |
| SHORT    | the same as SASL; a session ends after SESSION_SECONDS (KIP-368) |
| MUTUAL   | TLS with client certificates, no SASL |
| MISNAMED | TLS with a certificate for another host |
| DOUBLE   | every mechanism, over TLS with client certificates |
| TOKENS   | OAUTHBEARER with signed tokens, those of ``tokens``; a session ends with its token |

A client that is signed in may do everything where a topic has no ACL. The PLAINTEXT listener is an
administrator's.
"""

from __future__ import annotations

import base64
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from twisted.internet import reactor

from lfsproxy.devstack import KafkaServer
from lfsproxy.devstack.ports import HOST
from tests.certificates import Authority
from tests.integration.stack import Stack, in_thread, stack
from tests.integration.token_server import AUDIENCE, CLIENT, ISSUER, SCOPE, SECRET, SigningKey, TokenServer

MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")
PASSWORDS = {"proxy": "proxy-password", "alice": "alice-password", "bob": "bob-password"}
SESSION_SECONDS = 6.0
_PROTOCOLS = {
    "SASL": "SASL_PLAINTEXT",
    "SASLTLS": "SASL_SSL",
    "SHORT": "SASL_PLAINTEXT",
    "MUTUAL": "SSL",
    "MISNAMED": "SSL",
    "DOUBLE": "SASL_SSL",
    "TOKENS": "SASL_PLAINTEXT",
}
_MODULES = {
    "plain": "plain.PlainLoginModule required "
    + " ".join(f'user_{name}="{password}"' for name, password in PASSWORDS.items()),
    "scram-sha-256": "scram.ScramLoginModule required",
    "scram-sha-512": "scram.ScramLoginModule required",
    "oauthbearer": "oauthbearer.OAuthBearerLoginModule required",
}

_shared: SecuredKafka | None = None


class SecuredKafka:
    """The server, the authority that signed its certificates, and the S3 server of all tests.

    ``tokens`` is a token server; ``me`` is a client's certificate, ``listener`` that of a proxy's Kafka port.
    """

    def __init__(self, shared: Stack) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="lfsproxy-secured-")
        self.folder = Path(self._folder.name)
        self.authority = Authority(self.folder)
        self.me = self.authority.issue("me")
        self.listener = self.authority.issue(HOST)
        self.tokens = TokenServer(SigningKey())
        self.kafka = KafkaServer(
            listeners=_PROTOCOLS,
            scram_users=PASSWORDS,
            config=self._properties(),
            jvm_options=[f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={self.tokens.keys}"],
        )
        self.stack = Stack(self.kafka, shared.s3, shared.bucket)

    def _properties(self) -> dict[str, str]:
        named = self.authority.issue("localhost", HOST)
        properties = {
            "sasl.enabled.mechanisms": ",".join(MECHANISMS),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
            "allow.everyone.if.no.acl.found": "true",
        }
        for listener, protocol in _PROTOCOLS.items():
            prefix = f"listener.name.{listener.lower()}."
            if protocol.startswith("SASL"):
                for mechanism, module in _MODULES.items():
                    jaas = f"org.apache.kafka.common.security.{module};"
                    properties[f"{prefix}{mechanism}.sasl.jaas.config"] = jaas
            if protocol.endswith("SSL"):
                own = self.authority.issue("other.example") if listener == "MISNAMED" else named
                properties[f"{prefix}ssl.keystore.type"] = "PEM"
                properties[f"{prefix}ssl.keystore.location"] = str(own.combined)
                properties[f"{prefix}ssl.truststore.type"] = "PEM"
                properties[f"{prefix}ssl.truststore.location"] = str(self.authority.file)
            if listener in {"MUTUAL", "DOUBLE"}:
                properties[f"{prefix}ssl.client.auth"] = "required"
        for mechanism in _MODULES:
            name = f"listener.name.short.{mechanism}.connections.max.reauth.ms"
            properties[name] = str(int(SESSION_SECONDS * 1000))
        bearer = "listener.name.tokens.oauthbearer"
        validator = "org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler"
        return properties | {
            "listener.name.tokens.sasl.enabled.mechanisms": "OAUTHBEARER",
            f"{bearer}.sasl.server.callback.handler.class": validator,
            f"{bearer}.sasl.oauthbearer.jwks.endpoint.url": self.tokens.keys,
            f"{bearer}.sasl.oauthbearer.expected.audience": AUDIENCE,
            f"{bearer}.sasl.oauthbearer.expected.issuer": ISSUER,
            f"{bearer}.sasl.oauthbearer.clock.skew.seconds": "0",
            f"{bearer}.connections.max.reauth.ms": "3600000",
        }

    def address(self, listener: str) -> str:
        """``host:port`` of a listener."""
        return f"{HOST}:{self.kafka.listener_ports[listener]}"

    def environment(self, listener: str, mechanism: str = "", **more: str) -> dict[str, str]:
        """Variables of a proxy in front of a listener; with a ``mechanism`` it has an identity of its own."""
        settings = {
            "LFS_KAFKA_BROKERS": self.address(listener),
            "LFS_KAFKA_SECURITY_PROTOCOL": _PROTOCOLS[listener],
        }
        if _PROTOCOLS[listener].endswith("SSL"):
            settings["LFS_KAFKA_TLS_CA"] = str(self.authority.file)
        if listener in {"MUTUAL", "DOUBLE"}:
            settings["LFS_KAFKA_TLS_CERT"] = str(self.me.certificate)
            settings["LFS_KAFKA_TLS_KEY"] = str(self.me.key)
        if mechanism:
            settings["LFS_KAFKA_SASL_MECHANISM"] = mechanism
            settings["LFS_KAFKA_SASL_USERNAME"] = "proxy"
            settings["LFS_KAFKA_SASL_PASSWORD"] = secret(mechanism, "proxy")
        return {**settings, **more}

    def with_token(self, url: str, **more: str) -> dict[str, str]:
        """Variables of a proxy that fetches its tokens at ``url``."""
        return {
            **self.environment("TOKENS"),
            "LFS_KAFKA_SASL_MECHANISM": "OAUTHBEARER",
            "LFS_KAFKA_OAUTH_TOKEN_URL": url,
            "LFS_KAFKA_OAUTH_CLIENT_ID": CLIENT,
            "LFS_KAFKA_OAUTH_CLIENT_SECRET": SECRET,
            "LFS_KAFKA_OAUTH_SCOPE": SCOPE,
            **more,
        }

    def allow_only(self, user: str, topic: str) -> None:
        """Let nobody but ``user`` write to ``topic``. Blocks."""
        from kafka.admin import (
            ACL,
            ACLOperation,
            ACLPermissionType,
            KafkaAdminClient,
            ResourcePattern,
            ResourceType,
        )

        admin = KafkaAdminClient(bootstrap_servers=self.kafka.bootstrap)
        try:
            pattern = ResourcePattern(ResourceType.TOPIC, topic)
            operations = [(f"User:{user}", ACLOperation.WRITE), ("User:*", ACLOperation.DESCRIBE)]
            admin.create_acls(
                [ACL(who, "*", operation, ACLPermissionType.ALLOW, pattern) for who, operation in operations]
            )
        finally:
            admin.close()

    def close(self) -> None:
        """End the server and remove its files."""
        self.kafka.close()
        self.tokens.stop()
        self._folder.cleanup()


def secret(mechanism: str, user: str) -> str:
    """The user's password, or token."""
    return token(user) if mechanism == "OAUTHBEARER" else PASSWORDS[user]


def token(user: str, seconds: float = 600) -> str:
    """An unsecured JSON Web Signature, as the broker's default validator takes it."""
    now = time.time()
    parts: tuple[dict[str, Any], ...] = ({"alg": "none"}, {"sub": user, "iat": now, "exp": now + seconds})
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*encoded, ""])


async def secured() -> SecuredKafka:
    """The shared server, started now if this is the first call of the run."""
    global _shared
    if _shared is None:
        made = SecuredKafka(await stack())
        reactor.addSystemEventTrigger("after", "shutdown", made.close)
        await in_thread(made.kafka.start)
        _shared = made
    return _shared
