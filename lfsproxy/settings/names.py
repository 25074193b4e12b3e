"""A setting's name as a variable and as a flag."""


def variable(name: str) -> str:
    """``s3_bucket`` to ``LFS_S3_BUCKET``."""
    return "LFS_" + name.upper()


def flag(name: str) -> str:
    """``s3_bucket`` to ``s3-bucket`` (without the dashes before it)."""
    return name.replace("_", "-")
