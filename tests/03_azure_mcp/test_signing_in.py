"""Every way to sign in makes a credential of the SDK, and says what is wrong where it cannot."""

import datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from azure.core.pipeline.transport import AioHttpTransport
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from azure_cloud.account import AzureAccount
from azure_cloud.signing_in import credential_of, known_secrets
from flotilla import NotConfigured
from flotilla.credentials import Credentials

pytestmark = pytest.mark.anyio

APP = {"tenant": "contoso.example", "client_id": "app"}


def certificate(password: bytes | None = None) -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "app")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    sealed = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, sealed
    )
    return private.decode() + made.public_bytes(serialization.Encoding.PEM).decode()


async def made(account: dict[str, Any], **values: str) -> str:
    """The class of the credential that the account gets."""
    entry = AzureAccount.model_validate(account)
    credentials = Credentials(entry.secrets())
    credentials.give(values)
    async with aiohttp.ClientSession() as session:

        def transport() -> Any:
            return AioHttpTransport(session=session, session_owner=False)

        credential = credential_of(entry, credentials, transport)
        await credential.close()
        return type(credential).__name__


async def test_every_way_makes_its_credential(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("jwt")
    federated = {"credential": "workload_identity", **APP, "token_file": str(token)}
    assert await made(federated) == "WorkloadIdentityCredential"
    assert await made({"credential": "managed_identity"}) == "ManagedIdentityCredential"
    own = {"credential": "managed_identity", "client_id": "app"}
    assert await made(own) == "ManagedIdentityCredential"
    assert await made({"credential": "cli"}) == "AzureCliCredential"
    assert await made({"client_id": "app"}) == "DefaultAzureCredential"
    secret = {**APP, "client_secret": "secret:app"}
    assert await made(secret, app="value") == "ClientSecretCredential"
    sealed = {**APP, "certificate": "secret:cert", "certificate_password": "secret:word"}
    values = {"cert": certificate(b"sesame"), "word": "sesame"}
    assert await made(sealed, **values) == "CertificateCredential"
    (tmp_path / "cert.pem").write_text(certificate())
    plain = {
        **APP,
        "certificate": str(tmp_path / "cert.pem"),
        "authority": "https://login.internal",
    }
    assert await made(plain) == "CertificateCredential"


async def test_what_cannot_sign_in_says_why_without_the_secret(tmp_path: Path) -> None:
    missing = {**APP, "client_secret": str(tmp_path / "none")}
    with pytest.raises(NotConfigured, match="cannot read"):
        await made(missing)
    with pytest.raises(NotConfigured, match="has not been brought"):
        await made({**APP, "client_secret": "secret:app"})
    with pytest.raises(NotConfigured, match="cannot sign in") as caught:
        await made({**APP, "certificate": "secret:cert"}, cert="no-certificate-canary")
    assert "canary" not in str(caught.value)
    sealed = {**APP, "certificate": "secret:cert", "certificate_password": "secret:word"}
    with pytest.raises(NotConfigured, match="cannot sign in") as caught:
        await made(sealed, cert=certificate(b"sesame"), word="wrong-canary")
    assert "canary" not in str(caught.value)


def test_secrets_that_are_there_at_start_are_known(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from-a-file\n")
    accounts = [
        AzureAccount.model_validate({**APP, "client_secret": str(tmp_path / "secret")}),
        AzureAccount.model_validate({**APP, "client_secret": str(tmp_path / "none")}),
        AzureAccount.model_validate({**APP, "client_secret": "secret:stored"}),
    ]
    found = known_secrets(accounts, {"AZURE_CLIENT_SECRET": "from-the-environment"})
    assert found == ("from-the-environment", "from-a-file")
