"""Settings from variables, flags and files, and what is said of a value that is wrong."""

from __future__ import annotations

import os
from pathlib import Path

import attrs
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import SettingError
from lfsproxy.quoting import quoted_setting
from lfsproxy.settings import (
    Settings,
    check_files,
    flag,
    load_settings,
    loading,
    setting_table,
    unknown_variables,
    variable,
)
from tests.settings.values import BAD, COMPANIONS


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

    def test_a_file_that_cannot_be_read_is_named(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        there = folder / "there.pem"
        there.write_text("x")
        files = [name for name, info in setting_table().items() if info.parse.is_file]
        self.assertIn("http_api_keys_file", files)
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
            "LFS_KAFKA_BROKER": "kafka:9092",
            "lfs_s3_bucket": "not ours",
            "PATH": "/bin",
        }
        self.assertEqual(
            unknown_variables(environment),
            {
                "LFS_BUCKET_NAME": None,
                "LFS_KAFKA_ADVERTISED_PORT": "LFS_KAFKA_ADVERTISED_PORT_BASE",
                "LFS_KAFKA_BROKER": "LFS_KAFKA_BROKERS",
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
