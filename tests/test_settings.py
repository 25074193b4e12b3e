"""The table of settings: names and defaults that users rely on, and what is said of a value that is wrong."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import SettingError
from lfsproxy.quoting import quoted_setting
from lfsproxy.settings import (
    Address,
    Settings,
    check_files,
    flag,
    load_settings,
    loading,
    parse_address,
    setting_table,
    unknown_variables,
    variable,
)

SPECIFIED = {
    "LFS_S3_BUCKET": "kafscale",
    "LFS_S3_REGION": "us-east-1",
    "LFS_S3_ENDPOINT": "",
    "LFS_S3_PATH_STYLE": "false",
    "LFS_KAFKA_BROKERS": "localhost:9092",
    "LFS_HTTP_ADDR": ":8080",
    "LFS_METRICS_ADDR": ":9095",
    "LFS_CHECKSUM_ALGO": "sha256",
    "LFS_MAX_UPLOAD_SIZE": "0",
    "LFS_CORS_ORIGINS": "*",
}

EXAMPLES: dict[str, tuple[str, Any]] = {
    "download_prefixes": ("lfs/east/, lfs/west/", ("lfs/east/", "lfs/west/")),
    "s3_bucket": ("blobs", "blobs"),
    "s3_region": ("eu-west-1", "eu-west-1"),
    "s3_endpoint": ("http://localhost:9000/", "http://localhost:9000"),
    "s3_path_style": ("true", True),
    "s3_ca": ("/etc/s3-ca.pem", "/etc/s3-ca.pem"),
    "kafka_brokers": ("a:1, [::1]:2", (Address("a", 1), Address("::1", 2))),
    "http_addr": ("127.0.0.1:1", Address("127.0.0.1", 1)),
    "metrics_addr": ("[::1]:2", Address("::1", 2)),
    "checksum_algo": ("md5", "md5"),
    "max_upload_size": ("5", 5),
    "cors_origins": ("https://a.example, https://b.example/", ("https://a.example", "https://b.example")),
    "kafka_addr": (":1", Address("", 1)),
    "kafka_advertised_host": ("proxy.example", "proxy.example"),
    "kafka_broker_port_base": ("20000", 20000),
    "kafka_advertised_port_base": ("30000", 30000),
    "kafka_security_protocol": ("SASL_SSL", "SASL_SSL"),
    "kafka_client_identity": ("proxy", "proxy"),
    "kafka_sasl_mechanism": ("SCRAM-SHA-512", "SCRAM-SHA-512"),
    "kafka_sasl_username": ("proxy", "proxy"),
    "kafka_sasl_password": ("hunter2", "hunter2"),
    "kafka_sasl_password_file": ("/run/secrets/p", "/run/secrets/p"),
    "kafka_tls_ca": ("ca.pem", "ca.pem"),
    "kafka_tls_cert": ("cert.pem", "cert.pem"),
    "kafka_tls_key": ("key.pem", "key.pem"),
    "kafka_listener_tls_cert": ("cert.pem", "cert.pem"),
    "kafka_listener_tls_key": ("key.pem", "key.pem"),
    "kafka_listener_tls_client_ca": ("ca.pem", "ca.pem"),
    "http_tls_cert": ("cert.pem", "cert.pem"),
    "http_tls_key": ("key.pem", "key.pem"),
    "http_tls_client_ca": ("ca.pem", "ca.pem"),
    "metrics_tls": ("true", True),
    "http_base_path": ("/a/lfs/", "/a/lfs"),
    "http_max_uploads": ("0", 0),
    "http_api_keys_file": ("keys.json", "keys.json"),
    "namespace": ("team", "team"),
    "offload_threshold": ("1000", 1000),
    "topics": ("a*,b", ("a*", "b")),
    "max_passthrough_size": ("2048", 2048),
    "upload_memory": ("268435456", 268435456),
    "s3_part_size": ("5242880", 5242880),
    "s3_concurrency": ("2", 2),
    "s3_retry_timeout": ("1.5", 1.5),
    "s3_checksum": ("none", "none"),
    "max_decompressed_size": ("4096", 4096),
    "tus_expiry": ("60", 60.0),
    "stall_timeout": ("7", 7.0),
    "drain_timeout": ("0.5", 0.5),
    "drain_delay": ("10s", 10.0),
    "log_level": ("WARN", "warn"),
    "log_format": ("json", "json"),
}

COMPANIONS: dict[str, dict[str, str]] = {
    "kafka_sasl_mechanism": {
        "kafka_security_protocol": "SASL_SSL",
        "kafka_sasl_username": "u",
        "kafka_sasl_password": "p",
    },
    "kafka_tls_ca": {"kafka_security_protocol": "SSL"},
    "kafka_tls_cert": {"kafka_security_protocol": "SSL", "kafka_tls_key": "k"},
    "kafka_tls_key": {"kafka_security_protocol": "SSL", "kafka_tls_cert": "c"},
    "http_tls_cert": {"http_tls_key": "k"},
    "http_tls_key": {"http_tls_cert": "c"},
    "http_tls_client_ca": {"http_tls_cert": "c", "http_tls_key": "k"},
    "metrics_tls": {"http_tls_cert": "c", "http_tls_key": "k"},
    "kafka_listener_tls_cert": {"kafka_listener_tls_key": "k"},
    "kafka_listener_tls_key": {"kafka_listener_tls_cert": "c"},
    "kafka_listener_tls_client_ca": {"kafka_listener_tls_cert": "c", "kafka_listener_tls_key": "k"},
}
"""What a setting cannot be given without."""

BAD: dict[str, tuple[str, ...]] = {
    "s3_bucket": ("a/b", "x", "a b"),
    "s3_endpoint": (
        "localhost:9000",
        "ftp://x",
        "http://x/path",
        "http://x?q",
        "http://",
        "http://x:99999",
        "http://x:0",
    ),
    "s3_path_style": ("maybe",),
    "kafka_brokers": (",", "localhost", "a:b", "a:70000", "[::1"),
    "http_addr": ("8080", "host", ":x", ":65536", "a b:1", "::1:8080"),
    "metrics_addr": ("9095",),
    "kafka_addr": ("19092",),
    "checksum_algo": ("sha1", "SHA256"),
    "http_base_path": ("lfs", "/a b", "/a//b", "/../a", "/v1", "/docs/x"),
    "http_max_uploads": ("-1", "many"),
    "max_upload_size": ("-1", "1e9", "5 MBs", "0.3", "1.5B", "9EiB"),
    "s3_region": ("http://x", "us east 1", "us-east-1/", "-"),
    "kafka_advertised_host": (
        "http://kafka",
        "PLAINTEXT://kafka",
        "kafka:9092",
        "a b",
        "0.0.0.0",
        "1.2.3.4.5",
    ),
    "kafka_sasl_username": ("a\x1b[0m",),
    "kafka_sasl_password_file": ("a\x00b",),
    "download_prefixes": ("lfs/*", "s3://b/lfs/", "/lfs/", "lfs/../x", "a b"),
    "cors_origins": (
        "example.com",
        "https://a.example/path",
        "https://*.example.com",
        "https://a b",
        "https://a:70000",
        "https://me@a.example",
    ),
    "kafka_broker_port_base": ("0", "x", "65536"),
    "kafka_advertised_port_base": ("0",),
    "kafka_security_protocol": ("TLS",),
    "kafka_client_identity": ("client",),
    "kafka_sasl_mechanism": ("SCRAM",),
    "namespace": ("..", "a/b"),
    "offload_threshold": ("-1",),
    "topics": (",", "a b", "a/b", "x" * 250),
    "max_passthrough_size": ("0", "1023"),
    "upload_memory": ("1",),
    "s3_part_size": ("1", "5242879", "5368709121"),
    "s3_concurrency": ("0", "65"),
    "s3_retry_timeout": ("0", "-1", "inf", "nan"),
    "s3_checksum": ("sha256",),
    "max_decompressed_size": ("0",),
    "tus_expiry": ("0", "soon", "366d"),
    "stall_timeout": ("0", "0s", "5 minutes"),
    "drain_timeout": ("x", "1h 5"),
    "drain_delay": ("-1", "1e1"),
    "log_level": ("verbose", "warning"),
    "log_format": ("xml",),
}

NASTY = (
    *(
        "a b",
        " x",
        "x ",
        "x\n",
        "a\r\nX-Evil: 1",
        "x\x00y",
        "\x1b[31m",
        "\u00e9",
        "\u0661",
        "x" * 5000,
        "9" * 25,
    ),
    *(
        "http://kafka",
        "PLAINTEXT://kafka",
        "kafka:9092",
        "kafka:port",
        "user@kafka:1",
        "http://[::1",
        "s3://b/k",
    ),
    *(
        "[::1",
        "[::g]:1",
        "::1",
        "*:1",
        "1.2.3.4.5:1",
        "https://*.example.com",
        "https://u:p@x",
        "http://x:1:2",
    ),
    *("*", ",", ";", "-", "/", "//x", "../x", "a/../b", "${HOME}", "1e999", "+1", "NaN", "1_000", "10 GBs"),
)
"""Texts that few settings can take."""

TAKEN = {
    "s3_bucket": {"9" * 25, "1e999", "NaN", "1_000"},
    "s3_region": {"9" * 25, "1e999", "NaN", "1_000"},
    "s3_endpoint": {"http://kafka"},
    "kafka_brokers": {"kafka:9092"},
    "http_addr": {"kafka:9092"},
    "metrics_addr": {"kafka:9092"},
    "kafka_addr": {"kafka:9092"},
    "cors_origins": {"http://kafka", "*", ","},
    "kafka_advertised_host": {"::1", "1e999", "NaN", "1_000"},
    "http_base_path": {"/"},
    "namespace": {"9" * 25, "-", "1e999", "NaN", "1_000"},
    "topics": {" x", "x ", "9" * 25, "*", "-", "1e999", "NaN", "1_000"},
    "download_prefixes": {" x", "x ", "9" * 25, ",", "-", "1e999", "+1", "NaN", "1_000"},
}
"""Which setting takes which of NASTY; no other setting takes any, names of files and free texts aside."""


class TableTests(SynchronousTestCase):
    def test_the_specified_variables_have_exactly_their_defaults(self) -> None:
        table = {variable(name): info.default for name, info in setting_table().items()}
        self.assertEqual({name: table[name] for name in SPECIFIED}, SPECIFIED)

    def test_nothing_given_is_the_defaults(self) -> None:
        loaded = load_settings({}, {})
        self.assertEqual(loaded.settings, Settings())
        self.assertEqual(loaded.origins, {})

    def test_each_default_is_what_its_text_says(self) -> None:
        for name, info in setting_table().items():
            self.assertEqual(getattr(Settings(), name), info.parse(info.default), name)

    def test_each_setting_is_read_from_its_variable_and_its_flag(self) -> None:
        self.assertEqual(set(EXAMPLES), set(setting_table()))
        for name, (text, value) in EXAMPLES.items():
            others = COMPANIONS.get(name, {})
            given = {**others, name: text}
            by_variable = load_settings({variable(each): value for each, value in given.items()}, {}).settings
            by_flag = load_settings({}, given).settings
            self.assertEqual(getattr(by_variable, name), value, name)
            self.assertEqual(by_variable, by_flag, name)
            self.assertEqual(by_variable, attrs.evolve(Settings(), **{**others, name: value}), name)

    def test_a_setting_without_its_companions_names_them(self) -> None:
        for given in (
            {"kafka_sasl_mechanism": "PLAIN"},
            {"kafka_tls_cert": "c"},
            {"kafka_listener_tls_key": "k"},
            {"kafka_listener_tls_client_ca": "ca"},
            {"kafka_sasl_password": "a", "kafka_sasl_password_file": "b"},
            {"kafka_security_protocol": "SASL_SSL", "kafka_client_identity": "proxy"},
            {"kafka_security_protocol": "SASL_SSL", "kafka_sasl_mechanism": "PLAIN"},
            {
                "kafka_security_protocol": "SASL_SSL",
                "kafka_sasl_mechanism": "PLAIN",
                "kafka_sasl_username": "u",
            },
            {"kafka_security_protocol": "SASL_SSL", "kafka_sasl_mechanism": "OAUTHBEARER"},
            {"kafka_security_protocol": "SASL_PLAINTEXT", "kafka_sasl_mechanism": "AWS_MSK_IAM"},
            {"kafka_security_protocol": "SASL_PLAINTEXT", "kafka_tls_ca": "ca"},
            {"kafka_tls_cert": "c", "kafka_tls_key": "k"},
            {"http_tls_cert": "c"},
            {"http_tls_client_ca": "ca"},
            {"metrics_tls": "true"},
        ):
            with self.assertRaisesRegex(SettingError, "LFS_(KAFKA|HTTP)_"):
                load_settings({}, given)

    def test_each_setting_has_a_help_sentence(self) -> None:
        for name, info in setting_table().items():
            self.assertRegex(info.help, r"^[A-Z].+[.)]$", name)

    def test_names(self) -> None:
        self.assertEqual((variable("s3_bucket"), flag("s3_bucket")), ("LFS_S3_BUCKET", "s3-bucket"))


class CredentialsTests(SynchronousTestCase):
    """The password of the proxy's own sign-in."""

    def settings(self, **given: str) -> Settings:
        return load_settings(
            {},
            {
                "kafka_security_protocol": "SASL_SSL",
                "kafka_sasl_mechanism": "PLAIN",
                "kafka_sasl_username": "proxy",
                **given,
            },
        ).settings

    def test_a_password_file_is_read_at_each_sign_in_without_its_line_end(self) -> None:
        path = Path(self.mktemp())
        loaded = self.settings(kafka_sasl_password_file=str(path))
        for password in ("hunter2", " with spaces "):
            path.write_text(password + "\n")
            self.assertEqual(loaded.sasl_credentials(), ("PLAIN", "proxy", password))

    def test_a_password_file_that_cannot_be_read_is_named(self) -> None:
        path = Path(self.mktemp())
        loaded = self.settings(kafka_sasl_password_file=str(path))
        with self.assertRaisesRegex(SettingError, "LFS_KAFKA_SASL_PASSWORD_FILE is .*No such file"):
            loaded.sasl_credentials()
        path.write_bytes(b"secret\xff")
        with self.assertRaisesRegex(SettingError, "it is not UTF-8") as caught:
            loaded.sasl_credentials()
        self.assertNotIn("secret", str(caught.exception))

    def test_the_password_is_in_no_repr(self) -> None:
        self.assertNotIn("hunter2", repr(self.settings(kafka_sasl_password="hunter2")))


class LoadTests(SynchronousTestCase):
    def test_the_flag_wins(self) -> None:
        loaded = load_settings({"LFS_NAMESPACE": "from-variable"}, {"namespace": "from-flag"})
        self.assertEqual(loaded.settings.namespace, "from-flag")
        self.assertEqual(loaded.origins, {"namespace": ("LFS_NAMESPACE (flag --namespace)", "from-flag")})

    def test_an_empty_variable_is_the_default(self) -> None:
        loaded = load_settings({"LFS_S3_BUCKET": "", "LFS_S3_ENDPOINT": ""}, {})
        self.assertEqual(loaded.settings, Settings())
        self.assertEqual(loaded.origins, {})

    def test_a_value_equal_to_the_default_is_no_deviation(self) -> None:
        self.assertEqual(load_settings({"LFS_S3_BUCKET": "kafscale"}, {}).origins, {})

    def test_a_bad_value_is_one_line_that_names_the_variable_and_the_value(self) -> None:
        for name, texts in BAD.items():
            for text in texts:
                error = self.assertRaises(SettingError, load_settings, {variable(name): text}, {})
                self.assertIn(variable(name), str(error))
                self.assertIn(quoted_setting(text), str(error).replace("***@", "me@"))
                self.assertNotIn("\n", str(error))

    def test_each_setting_takes_only_what_makes_sense_for_it(self) -> None:
        for name, info in setting_table().items():
            if info.parse.is_file or name == "kafka_sasl_password":
                continue
            refused = set()
            for text in NASTY:
                try:
                    info.parse(text)
                except ValueError as error:
                    refused.add(text)
                    self.assertRegex(str(error), r"\A[ -~]+ (is|are) needed[ -~]*\Z", (name, text))
            if name == "kafka_sasl_username":
                self.assertEqual(refused, {text for text in NASTY if re.search("[\x00-\x1f]", text)})
            else:
                self.assertEqual(set(NASTY) - refused, TAKEN.get(name, set()), name)

    def test_a_file_that_cannot_be_read_is_named(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        there = folder / "there.pem"
        there.write_text("x")
        files = [name for name, info in setting_table().items() if info.parse.is_file]
        self.assertEqual(len(files), 12)
        for name in files:
            for path, why in (
                (folder / "gone", "No such file or directory"),
                (folder, "it is a directory"),
                (there / "below", "Not a directory"),
            ):
                given = {**COMPANIONS.get(name, {}), name: str(path)}
                for other in given.keys() & set(files) - {name}:
                    given[other] = str(there)
                error = self.assertRaises(SettingError, check_files, load_settings({}, given))
                self.assertEqual(
                    str(error),
                    f"{variable(name)} (flag --{flag(name)}) is '{path}': "
                    f"the path of a file that the proxy can read is needed ({why})",
                )
        check_files(load_settings({"LFS_HTTP_API_KEYS_FILE": str(there)}, {}))

    def test_a_file_of_another_user_is_named(self) -> None:
        path = Path(self.mktemp())
        path.write_text("x")
        self.patch(os, "access", lambda file, mode: False)
        loaded = load_settings({"LFS_HTTP_API_KEYS_FILE": str(path)}, {})
        with self.assertRaisesRegex(SettingError, rf"\(user {os.geteuid()} may not read it\)$"):
            check_files(loaded)

    def test_a_broker_has_a_host(self) -> None:
        for text in ("kafka", "http://kafka:9092", "kafka:9092,kafka:99999"):
            error = self.assertRaises(SettingError, load_settings, {"LFS_KAFKA_BROKERS": text}, {})
            self.assertEqual(
                str(error),
                f"LFS_KAFKA_BROKERS is '{text}': host:port or [v6]:port, or several with commas between "
                "them, with ports up to 65535, is needed",
            )

    def test_a_bad_flag_is_named(self) -> None:
        error = self.assertRaises(SettingError, load_settings, {}, {"http_addr": "8080"})
        self.assertEqual(
            str(error),
            "LFS_HTTP_ADDR (flag --http-addr) is '8080': "
            "host:port, [v6]:port or :port is needed, with a port up to 65535",
        )

    def test_a_password_in_a_refused_url_is_not_shown(self) -> None:
        error = self.assertRaises(
            SettingError, load_settings, {"LFS_S3_ENDPOINT": "http://me:hunter2@store:9000"}, {}
        )
        self.assertIn("LFS_S3_ENDPOINT is 'http://***@store:9000'", str(error))
        self.assertNotIn("hunter2", str(error))

    def test_a_secret_is_shown_neither_when_it_is_wrong_nor_at_the_start(self) -> None:
        info = attrs.evolve(setting_table()["namespace"], secret=True)
        self.patch(loading, "setting_table", lambda: {"namespace": info})
        error = self.assertRaises(SettingError, load_settings, {"LFS_NAMESPACE": "hunter/2"}, {})
        self.assertIn("LFS_NAMESPACE is '***': ", str(error))
        self.assertNotIn("hunter", str(error))
        loaded = load_settings({"LFS_NAMESPACE": "hunter2"}, {})
        self.assertEqual(loaded.origins, {"namespace": ("LFS_NAMESPACE", "***")})

    def test_memory_that_cannot_hold_two_requests_is_refused(self) -> None:
        least = 2 * (8388608 + 16777216)
        error = self.assertRaises(SettingError, load_settings, {"LFS_UPLOAD_MEMORY": str(least - 1)}, {})
        self.assertIn("LFS_UPLOAD_MEMORY", str(error))
        self.assertIn(str(least), str(error))
        load_settings({"LFS_UPLOAD_MEMORY": str(least)}, {})

    def test_a_variable_that_is_no_setting_is_found_with_the_one_that_was_meant(self) -> None:
        environment = {
            "LFS_S3_BUKET": "x",
            "LFS_S3_BUCKET": "y",
            "LFS_BUCKET_NAME": "z",
            "LFS_KAFKA_ADVERTISED_PORT": "9092",
            "lfs_s3_bucket": "not ours",
            "PATH": "/bin",
        }
        self.assertEqual(
            unknown_variables(environment),
            {
                "LFS_BUCKET_NAME": None,
                "LFS_KAFKA_ADVERTISED_PORT": "LFS_KAFKA_ADVERTISED_PORT_BASE",
                "LFS_S3_BUKET": "LFS_S3_BUCKET",
            },
        )

    def test_variables_of_others_are_no_mistake(self) -> None:
        environment = {
            "LFS_PROXY_SERVICE_HOST": "10.0.0.1",
            "LFS_PROXY_SERVICE_PORT": "8080",
            "LFS_PROXY_SERVICE_PORT_HTTP": "8080",
            "LFS_PROXY_PORT": "tcp://10.0.0.1:8080",
            "LFS_PORT_80_TCP": "tcp://10.0.0.1:80",
            "LFS_PROXY_PORT_8080_TCP_ADDR": "10.0.0.1",
            "LFS_PROXY_PORT_8080_TCP_PORT": "8080",
            "LFS_PROXY_PORT_8080_TCP_PROTO": "tcp",
            "LFS_DEMO_CACHE": "/tmp",
            "LFS_TEST_MIB": "1",
            "LFS_API_KEY": "key",
            "LFS_PROXY_URL": "http://localhost:8080",
            "LFS_PROXY_BOOTSTRAP": "localhost:19092",
        }
        self.assertEqual(unknown_variables(environment), {})


class QuantityTests(SynchronousTestCase):
    def test_sizes(self) -> None:
        for text, value in {
            "0": 0,
            "16777216": 2**24,
            "64k": 2**16,
            "64K": 2**16,
            "128MiB": 2**27,
            "128 MiB": 2**27,
            "128Mi": 2**27,
            "10GB": 10**10,
            "10gb": 10**10,
            "1kB": 1000,
            "1.5G": 3 * 2**29,
            "2T": 2**41,
            "7B": 7,
        }.items():
            self.assertEqual(load_settings({"LFS_MAX_UPLOAD_SIZE": text}, {}).settings.max_upload_size, value)

    def test_times(self) -> None:
        for text, value in {
            "15": 15,
            "0.5": 0.5,
            "30s": 30,
            "500ms": 0.5,
            "5m": 300,
            "1h": 3600,
            "1h30m": 5400,
            "7d": 604800,
            "0.5h": 1800,
        }.items():
            self.assertEqual(load_settings({"LFS_DRAIN_TIMEOUT": text}, {}).settings.drain_timeout, value)

    def test_the_range_is_said(self) -> None:
        for name, text, said in (
            (
                "LFS_S3_PART_SIZE",
                "1MiB",
                "a size from 5MiB to 5GiB, such as 65536, 64k, 128MiB or 10GB, is needed",
            ),
            ("LFS_STALL_TIMEOUT", "0", "a time above 0, at most 365d, such as 30, 30s, 5m or 1h, is needed"),
            ("LFS_DRAIN_DELAY", "x", "a time from 0, at most 365d, such as 30, 30s, 5m or 1h, is needed"),
        ):
            error = self.assertRaises(SettingError, load_settings, {name: text}, {})
            self.assertEqual(str(error), f"{name} is '{text}': {said}")

    def test_a_value_with_a_unit_is_shown_as_it_was_given(self) -> None:
        loaded = load_settings({"LFS_UPLOAD_MEMORY": "256MiB"}, {})
        self.assertEqual(loaded.origins, {"upload_memory": ("LFS_UPLOAD_MEMORY", "256MiB")})


class AddressTests(SynchronousTestCase):
    def test_addresses_are_written_as_they_are_read(self) -> None:
        for text in (":8080", "localhost:1", "[::1]:9092", "10.0.0.1:65535"):
            self.assertEqual(str(parse_address(text)), text)

    def test_broker_ports_follow_the_bootstrap_port(self) -> None:
        self.assertEqual(Settings().broker_port_base, 19093)
        self.assertEqual(Settings(kafka_addr=Address("", 5)).broker_port_base, 6)
        self.assertEqual(Settings(kafka_broker_port_base=30000).broker_port_base, 30000)
