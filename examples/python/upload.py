from lfsproxy.client import LfsError, OutcomeUnknown, Uploader

with open("movie.bin", "wb") as file:
    file.write(bytes(5_000_000))

with Uploader("http://localhost:8080") as proxy, open("movie.bin", "rb") as file:
    try:
        published = proxy.upload("demo-topic", file, on_progress=lambda size: print(size, "bytes", end="\r"))
    except OutcomeUnknown as error:
        print("look before you send it again:", error)
    except LfsError as error:
        print("not published:", error.problem, "try again" if error.retriable else "")
    else:
        print(f"{published.topic}:{published.partition}:{published.offset}")
