"""Clients of several replicas that ask, decide and redeem, and remember all that they are told."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import anyio
from mcp import Client
from wires import PROTOCOLS, Person, accept, connect, content

CALL_SECONDS = 90.0
"""No call may take as long, whatever is broken: a server gives up after 30 seconds, and looks 30 seconds more."""
UNCHANGED, UNKNOWN = "unavailable", "uncertain"


class Load:
    """What the clients do, and what they were told of it."""

    def __init__(self, urls: Callable[[], Sequence[str]]) -> None:
        """`urls` are the replicas that are up."""
        self._urls = urls
        self._numbers = count(1)
        self._replied = anyio.Event()
        self.stopping = False
        self.asked: dict[int, str] = {}
        """By number: its kind."""
        self.ids: dict[int, str] = {}
        """By number: the approval that a client was told of."""
        self.absent: set[int] = set()
        """Of these, the last that a client was told is that nothing was changed."""
        self.status: dict[str, str] = {}
        self.undecided: set[str] = set()
        """Nothing was changed: the last that was told of their decision."""
        self._perhaps_asked: set[int] = set()
        self._perhaps_decided: set[str] = set()
        self.redeemed: Counter[str] = Counter()
        self.not_redeemed: set[str] = set()
        """Whoever tried was told that nothing was changed."""
        self.reported: set[str] = set()
        self.told: Counter[str] = Counter()
        """How often each code came, and each success."""
        self.wrong: list[str] = []

    async def replies(self, number: int) -> None:
        """Return when so many more calls have been answered."""
        for _ in range(number):
            self._replied = anyio.Event()
            await self._replied.wait()

    async def client(self, seed: int) -> None:
        """Go on until `stopping`, with one replica after the other, as they go away."""
        chance = random.Random(seed)
        while not self.stopping:
            if not (urls := self._urls()):
                await anyio.sleep(0.05)  # nobody is up
                continue
            try:
                person = Person(accept(decision="approve"))
                async with connect(chance.choice(urls), PROTOCOLS[-1], person=person) as client:
                    for _ in range(chance.randint(1, 10)):
                        if not self.stopping:
                            await self._round(client, chance)
            except Exception:  # whatever breaks when a server is gone; what it has told is looked at
                self.told["cut"] += 1
                await anyio.sleep(0.02)  # it may be gone for a moment

    async def _round(self, client: Client, chance: random.Random) -> None:
        n, kind = next(self._numbers), chance.choice(("order", "order", "thing", "brief"))
        self.asked[n] = kind
        asked = await self._until_told(lambda: self._ask(client, n), chance)
        if asked is None or kind == "brief":
            return
        id_ = str(asked["id"])
        if await self._until_told(lambda: self._approve(client, id_), chance) is None:
            return
        if kind == "thing":
            await self._redeem(client, id_, asked["digest"])

    async def _until_told(self, act: Callable[[], Any], chance: random.Random) -> Any:
        """Do it again after an error, or leave it at that."""
        while True:
            done = await act()
            if done is not None or chance.random() < 0.5 or self.stopping:
                return done

    async def _ask(self, client: Client, n: int) -> Any:
        untouched = n not in self._perhaps_asked
        self._perhaps_asked.add(n)  # unless it is answered otherwise
        self.absent.discard(n)
        code, answer = await self._call(
            client,
            "request-approval",
            title=f"Number {n}",
            kind=self.asked[n],
            details={"n": n},
            dedup_key=str(n),
        )
        if code == UNCHANGED and untouched:
            self._perhaps_asked.discard(n)
            self.absent.add(n)
        if code:
            return None
        if self.ids.setdefault(n, answer["id"]) != answer["id"]:
            self.wrong.append(f"number {n} is {self.ids[n]} and {answer['id']}")
        return answer

    async def _approve(self, client: Client, id_: str) -> Any:
        untouched = id_ not in self._perhaps_decided
        self._perhaps_decided.add(id_)  # unless it is answered otherwise
        self.undecided.discard(id_)
        code, answer = await self._call(client, "approve", id=id_)
        if code == UNCHANGED and untouched:
            self._perhaps_decided.discard(id_)
            self.undecided.add(id_)
        if code == "already_resolved":
            if untouched:
                self.wrong.append(f"{id_} was decided by a call that changed nothing")
            return {}
        if code:
            return None
        self.status[id_] = answer["status"]
        return answer

    async def _redeem(self, client: Client, id_: str, digest: str) -> None:
        codes: list[str] = []

        async def redeem() -> None:
            codes.append((await self._call(client, "redeem-approval", id=id_, digest=digest))[0])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(redeem)
            tasks.start_soon(redeem)
        self.redeemed[id_] += codes.count("")
        if codes == [UNCHANGED] * 2:
            self.not_redeemed.add(id_)
        if "" in codes and not (await self._call(client, "report-outcome", id=id_, succeeded=True))[0]:
            self.reported.add(id_)

    async def _call(self, client: Client, tool: str, **arguments: Any) -> tuple[str, Any]:
        """The code of the error, if it is one, and what was answered."""
        with anyio.fail_after(CALL_SECONDS):
            result = await client.call_tool(tool, arguments)
        self._replied.set()
        answer = content(result)
        code = str(answer["code"]) if result.is_error else ""
        self.told[code or tool] += 1
        return code, answer
