"""The steps of a check that are about S3: reaching the bucket, and each thing that the proxy does with it."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from lfsproxy.probing import IStoreProbe
from lfsproxy.settings import Settings
from lfsproxy.upkeep.steps.certificates import shown
from lfsproxy.upkeep.steps.chain import Chain, Found, Step, done, told

SKEW_SECONDS = 60.0
"""By how much the clocks may differ before it is told; S3 refuses requests from 15 minutes on."""
PARTS_SECONDS = 40.0
"""How long a step of several requests may take."""


class StoreSteps:
    """``make`` makes the probe, or raises SettingError. ``tell`` is given each step when it is over.
    What the steps write is removed by ``run``."""

    def __init__(
        self,
        clock: IReactorTime,
        settings: Settings,
        make: Callable[[], IStoreProbe],
        tell: Callable[[Step], None],
    ) -> None:
        self._chain = Chain(clock, "S3", tell)
        self.chains = [self._chain]
        self._settings = settings
        self._make = make
        self._probe: IStoreProbe

    async def run(self) -> None:
        """All of them."""

        async def make() -> Found[IStoreProbe]:
            probe = self._make()
            return Found(probe, f"the bucket {self._settings.s3_bucket} of {probe.named}")

        probe = await self._chain.step("settings", make, "name a file of certificates as PEM in LFS_S3_CA")
        if probe is not None:
            self._probe = probe
        try:
            # Without a probe these are told as skipped.
            await self._reach(probe is None or probe.uses_tls)
            await self._use()
        finally:
            if probe is not None:
                await self._chain.behind("removal of what was written", probe.remove)
                await self._chain.behind("end of the connections", probe.close)

    async def _reach(self, uses_tls: bool) -> None:
        chain = self._chain
        where = "correct LFS_S3_ENDPOINT, or have it reachable from here"

        async def resolve() -> Found[None]:
            return Found(None, ", ".join(await self._probe.resolve()))

        async def handshake() -> Found[None]:
            return shown(await self._probe.handshake())

        async def credentials() -> Found[None]:
            return Found(None, f"from {await self._probe.credentials()}")

        await chain.step("host name", resolve, where)
        await chain.step("connection", done(lambda: self._probe.connect()), where)
        if uses_tls:
            ca = self._settings.s3_ca or "AWS_CA_BUNDLE, or the system's authorities"
            await chain.step(
                "TLS",
                handshake,
                f"check LFS_S3_ENDPOINT and LFS_S3_CA ({ca}), or have the server's certificate issued anew",
            )
        await chain.step("credentials", credentials, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
        await chain.step("clock", self._clock, "check LFS_S3_ENDPOINT, and the store")
        await chain.step(
            "bucket",
            done(lambda: self._probe.bucket()),
            "check LFS_S3_ENDPOINT, LFS_S3_BUCKET, LFS_S3_REGION and LFS_S3_PATH_STYLE",
        )

    async def _clock(self) -> Found[None]:
        ahead = await self._probe.clock()
        if ahead is None:
            return Found(None, "the store does not say its time")
        if abs(ahead) < SKEW_SECONDS:
            return Found(None)
        way = "ahead of" if ahead > 0 else "behind"
        return Found(
            None,
            f"this machine's clock is {abs(ahead):.0f} s {way} S3's, which refuses requests from 900 s on",
            warning=True,
        )

    async def _use(self) -> None:
        chain = self._chain
        # What a right that is missing needs, the refusal says itself.
        look = "look at the store's own log, and at what docs/operate/stores.md says of stores"

        async def put() -> Found[None]:
            await self._probe.put()
            with_crc = (
                "with a CRC-32C" if self._probe.checksums else "without a CRC-32C, as LFS_S3_CHECKSUM is none"
            )
            return Found(None, with_crc)

        await chain.step("put", put, look, vital=False, seconds=PARTS_SECONDS)
        for name, tried in {
            "HEAD": told(lambda: self._probe.head()),
            "ranged GET": done(lambda: self._probe.ranged_get()),
            "conditional put": told(lambda: self._probe.conditional()),
            "list objects": done(lambda: self._probe.list_objects()),
        }.items():
            await chain.step(name, tried, look, needs=["put"], vital=False)
        await chain.step(
            "multipart upload",
            told(lambda: self._probe.multipart()),
            look,
            vital=False,
            seconds=PARTS_SECONDS,
        )
        await chain.step(
            "abort of a multipart upload",
            done(lambda: self._probe.abort()),
            look,
            needs=["multipart upload"],
            vital=False,
            seconds=PARTS_SECONDS,
        )
        await chain.step("delete", done(lambda: self._probe.delete()), look, needs=["put"], vital=False)
