"""`streamscore serve` and `streamscore serve-key`: the HTTP service on the command line."""

import gc
import os
from pathlib import Path
from typing import Annotated

import typer

from runtime.terminal import BootstrapOption, StoreOption


def serve(
    model: Annotated[
        str,
        typer.Option(metavar="NAME@ALIAS", help="The model that answers (or NAME:VERSION)."),
    ],
    host: Annotated[
        str | None, typer.Option(help="Where to listen.  (setting: serving.host; 127.0.0.1)")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65_535, help="(setting: serving.port; 8080; 0: a free one)"),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Listen beyond this machine without API keys.")
    ] = False,
    tls_certificate: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Serve HTTPS.  (setting: serving.tls_certificate)"),
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Its key.  (setting: serving.tls_key)")
    ] = None,
    publish: Annotated[
        str | None,
        typer.Option(
            metavar="TOPIC", help="Publish each answer there as well.  (setting: serving.publish)"
        ),
    ] = None,
    bootstrap_servers: BootstrapOption = None,
    store: StoreOption = None,
) -> None:
    """Answer HTTP requests with a model, until stopped: the events and answers of the topics.

    POST /predict takes an event or a list of them; /docs shows every route, and tries them. The
    alias is followed: a new version answers from the next batch on. SIGTERM or Ctrl-C answers
    what is in flight, and ends.
    """
    gc.disable()  # imports leave no garbage, and looking for it takes a fifth of the start
    # Before numpy is imported: more native threads than one fight over the cores.
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    from runtime.logs import configure_logging
    from runtime.reload import load_with
    from runtime.settings import load_settings
    from serving.server import serve as run

    settings = load_settings(
        {
            "bootstrap_servers": bootstrap_servers,
            "store": store,
            "serving.host": host,
            "serving.port": port,
            "serving.insecure": insecure or None,
            "serving.tls_certificate": tls_certificate,
            "serving.tls_key": tls_key,
            "serving.publish": publish,
        }
    )
    configure_logging(settings.log)
    run(settings, model, load_with)


def serve_key() -> None:
    """Make an API key for `serve`: the key is for a client, its hash for the settings."""
    from runtime.access import new_key
    from runtime.terminal import out

    key, kept = new_key()
    out().print(f"key:  {key}", soft_wrap=True)
    out().print(f"hash: {kept}", soft_wrap=True)
    out().print(
        "The key is shown this once. Add the hash to serving.api_keys in streamscore.toml, or to\n"
        "STREAMSCORE_SERVING__API_KEYS (several, separated by commas, while one is replaced)."
    )
