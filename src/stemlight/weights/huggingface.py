"""Models on Hugging Face: `hf://owner/repo[@revision]` in, model folders out. Extra `hub`.

What is downloaded lies in the cache of huggingface_hub, which verifies it and shares it with other
programs. Files are verified against the model's card once more when they are loaded.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from stemlight.errors import DownloadError, MissingExtraError, UsageError, WeightsError
from stemlight.weights.cards import CARD_FILE, Card, ModelCard, read_card
from stemlight.weights.hub import model_files, verify_model

__all__ = ["fetch_repository", "model_readme", "push_to_hub"]

_ADDRESS = re.compile(r"hf://(?P<repository>[^/@\s]+/[^/@\s]+)(?:@(?P<revision>[^@\s]+))?")

# No pickles: what a model folder may hold and nothing else.
_WANTED_FILES = ["*.json", "*.safetensors", "*.onnx"]


def fetch_repository(address: str, *, offline: bool = False) -> Path:
    """Download a model from Hugging Face, unless it is here; return its folder.

    `address` is `hf://owner/repo` or `hf://owner/repo@revision`, a branch, tag or commit. The token
    of `hf auth login`, or in HF_TOKEN, opens private models.

    Raises:
        UsageError: that is no such address.
        DownloadError: there is no such model, or it cannot be had, or `offline` forbids it.
        WeightsError: the repository holds no model of ours.
        MissingExtraError: huggingface_hub is not installed.
    """
    matched = _ADDRESS.fullmatch(address)
    if matched is None:
        raise UsageError(
            f"{address!r} is no address of a model; write hf://owner/repo or "
            "hf://owner/repo@revision"
        )
    hub = _huggingface_hub("a model on Hugging Face")
    try:
        folder = hub.snapshot_download(
            matched["repository"],
            revision=matched["revision"],
            allow_patterns=_WANTED_FILES,
            local_files_only=offline,
        )
    except Exception as error:
        words = _words(error, offline=offline)
        raise DownloadError(f"cannot download {address}: {words}") from error
    if not (Path(folder) / CARD_FILE).is_file():
        raise WeightsError(f"{address} holds no model of stemlight: it has no {CARD_FILE}")
    return Path(folder)


def push_to_hub(
    folder: Path, repository: str, *, token: str | None = None, private: bool = False
) -> str:
    """Upload a model folder, in one commit, with a README made of its card; return its address.

    Nothing but cards and the files that they list is uploaded. The repository `owner/repo` is
    made if there is none. Without `token` that of `hf auth login`, or in HF_TOKEN, is used.

    Raises:
        WeightsError: the folder is no model, is damaged, or was refused.
        UsageError: `repository` is no `owner/repo`.
        MissingExtraError: huggingface_hub is not installed.
    """
    if _ADDRESS.fullmatch(f"hf://{repository}") is None or "@" in repository:
        raise UsageError(f"{repository!r} is no repository; write owner/repo")
    verify_model(folder)
    card = read_card(folder)
    hub = _huggingface_hub("uploading a model")
    contents: dict[str, Any] = {name: folder / name for name in (CARD_FILE, *model_files(folder))}
    contents["README.md"] = model_readme(card, repository).encode()
    try:
        api = hub.HfApi(token=token)
        api.create_repo(repository, private=private, exist_ok=True)
        api.create_commit(
            repository,
            operations=[
                hub.CommitOperationAdd(name, content) for name, content in contents.items()
            ],
            commit_message=f"Upload {card.name}",
        )
    except Exception as error:
        words = _words(error, offline=False)
        raise WeightsError(f"cannot upload {folder} to {repository}: {words}") from error
    return f"hf://{repository}"


def model_readme(card: Card, repository: str) -> str:
    """Write the page of a model on Hugging Face from its card."""
    # The header is YAML, of which JSON strings are a part; a licence that is no identifier has
    # to be `other` with a name.
    is_identifier = re.fullmatch(r"[A-Za-z0-9.-]+", card.licence) is not None
    lines = ["---", f"license: {card.licence.lower() if is_identifier else 'other'}"]
    if not is_identifier:
        lines.append("license_name: see-below")
    network = f"preset `{card.preset}`" if isinstance(card, ModelCard) else "ensemble"
    lines += [
        "library_name: stemlight",
        "pipeline_tag: audio-to-audio",
        "tags:",
        *(f"- {tag}" for tag in ("stemlight", "music-source-separation", "audio")),
        "---",
        "",
        f"# {card.name}",
        "",
        card.summary,
        "",
        "```",
        f"pip install 'stemlight[hub]'\nstemlight separate song.mp3 --model hf://{repository}",
        "```",
        "",
        f"- Stems: {', '.join(card.sources)}",
        f"- Network: {network}, {card.n_parameters:,} parameters",
        f"- Licence: {card.licence}",
        *(f"- Trained on: {data.name} ({data.terms})" for data in card.training_data),
    ]
    for score in card.scores:
        stems = ", ".join(f"{name} {value:.2f}" for name, value in score.stems_db.items())
        lines += [
            f"- {score.metric}: {score.average_db:.2f} dB ({stems}); {score.aggregation}; "
            f"{score.data}; `{score.command}`"
        ]
    return "\n".join(lines) + "\n"


def _huggingface_hub(purpose: str) -> Any:
    try:
        import huggingface_hub
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{purpose} needs {error.name}, which is not installed; "
            "run: pip install 'stemlight[hub]'"
        ) from error
    return huggingface_hub


def _words(error: Exception, *, offline: bool) -> str:
    """Say in one line what the library says in many."""
    from huggingface_hub import errors

    if isinstance(error, errors.LocalEntryNotFoundError):
        if offline:
            return "it is not here and --offline forbids it; run without it"
        return "Hugging Face cannot be reached; check the connection and the proxy"
    if isinstance(error, errors.GatedRepoError):
        return "ask for access on its page, then run: hf auth login"
    if isinstance(error, errors.RepositoryNotFoundError):
        return "there is no such model, or it is private: hf auth login"
    if isinstance(error, errors.RevisionNotFoundError):
        return "it has no such branch, tag or commit"
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0]
