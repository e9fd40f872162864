"""What the role of a token lets its bearer do: see, or work, or decide for everybody."""

from __future__ import annotations

from ..protocol.tokens import Role

VIEWS = frozenset(
    {
        *("FindApp", "ListApps", "AppHistory", "DescribeApp", "MeasureApp", "FollowApp", "ReadLogs"),
        *("DescribeFunction", "InspectFunction", "MeasureFunction", "MeasureSeries", "ListVariants"),
        *("GetAutoscaler", "GetFunctionStats", "FindEndpoints", "FindEndpoint", "ListContainers"),
        *("ListCalls", "GetOutputs", "GetCallInfo", "GetCallGraph", "ExplainCall", "ReadUsage"),
        *("FindObject", "ListObjects", "ReadDict", "PeekQueue", "MeasureQueue", "FindSecret", "ListSecrets"),
        *("FindVolume", "FindVolumeUsers", "ListFiles", "ReadFile", "ReadBlob"),
        *("FindImage", "ListImages", "ReadImageLogs", "ListImageNames", "ReadImageName"),
        *("FindEnvironment", "ListEnvironments", "ListRoles", "FindDashboard", "OpenDashboard"),
        *("DescribeToken", "RevokeToken"),
    }
)
"""What shows something and changes nothing, by the names of messages; and the end of the own token. What is not here is refused
to viewers: a new message is none of theirs until it is written down."""

FOR_ADMINS = frozenset(
    {
        *("CreateEnvironment", "UpdateEnvironment", "DeleteEnvironment", "UpdateRoles"),
        *("CreateToken", "ListTokens", "RotateMasterKey", "PruneImages"),
    }
)
"""What concerns everybody: who may come in, which environments there are, what they may cost."""


NO_ROLE = "none"
"""In the place of a role: the token lets nobody in until it has one again."""


def role_of(word: str) -> Role:
    """The role that is kept with a token. One that this version does not know is the least."""
    return word if word in ("admin", "member") else "viewer"


def refusal(role: Role, action: str) -> str:
    """Why a role may not send a message; "" where it may."""
    if role == "viewer" and action not in VIEWS:
        return f"a viewer's token shows everything and changes or runs nothing ({action}); ask for one of a member"
    if role != "admin" and action in FOR_ADMINS:
        return f"{action} is for admins; this token is a {role}'s: ask for one of an admin"
    return ""
