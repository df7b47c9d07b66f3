"""The words of SecLang: directives, variables, operators, transformations, actions and controls.

Law: a word that is in none of these tables is an error, never passed over. Names are compared without regard to case,
and stand in the tree as they stand here. Their meaning is that of the reference engine, ModSecurity 3:
https://github.com/owasp-modsecurity/ModSecurity/wiki/Reference-Manual-(v3.x).
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

RULES = ("SecRule", "SecAction", "SecMarker", "SecDefaultAction")
"""The directives that rules are made of."""

CHANGES = (
    "SecRuleRemoveById",
    "SecRuleRemoveByTag",
    "SecRuleRemoveByMsg",
    "SecRuleUpdateTargetById",
    "SecRuleUpdateTargetByTag",
    "SecRuleUpdateTargetByMsg",
    "SecRuleUpdateActionById",
)
"""The directives that change rules, wherever these are written."""

INCLUDES = ("Include", "IncludeOptional")
"""The directives that read other files at their place; the files of the second may be missing."""

_LOGGING = "what is recorded is said by [edge] events, [sink] and [exporter]"
_LIMITS = "the limits of [path-map], [listener] and [content-filter] hold"
_BODIES = "bodies are inspected wherever a content filter is named; [content-filter] and [path-map] say how far"
_RESPONSES = "the keys responses and response-limit of [content-filter] say it"
_STATE = "no collection outlives a request"
_ENGINE = "regular expressions are compiled to automata, which need no limit of steps"
_FILES = "uploaded files are never written"
_NAMES = "it is a name for records only"

WITHOUT_EFFECT: Mapping[str, str] = {
    "SecArgumentsLimit": _LIMITS,
    "SecAuditEngine": _LOGGING,
    "SecAuditLog": _LOGGING,
    "SecAuditLog2": _LOGGING,
    "SecAuditLogDirMode": _LOGGING,
    "SecAuditLogFileMode": _LOGGING,
    "SecAuditLogFormat": _LOGGING,
    "SecAuditLogParts": _LOGGING,
    "SecAuditLogRelevantStatus": _LOGGING,
    "SecAuditLogStorageDir": _LOGGING,
    "SecAuditLogType": _LOGGING,
    "SecCollectionTimeout": _STATE,
    "SecComponentSignature": _NAMES,
    "SecConnEngine": _LIMITS,
    "SecDataDir": _STATE,
    "SecDebugLog": _LOGGING,
    "SecDebugLogLevel": _LOGGING,
    "SecGeoLookupDb": "[geo] names the databases of addresses",
    "SecPcreMatchLimit": _ENGINE,
    "SecPcreMatchLimitRecursion": _ENGINE,
    "SecRequestBodyAccess": _BODIES,
    "SecRequestBodyInMemoryLimit": _BODIES,
    "SecRequestBodyJsonDepthLimit": _LIMITS,
    "SecRequestBodyLimit": _BODIES,
    "SecRequestBodyLimitAction": _BODIES,
    "SecRequestBodyNoFilesLimit": _BODIES,
    "SecResponseBodyAccess": _RESPONSES,
    "SecResponseBodyLimit": _RESPONSES,
    "SecResponseBodyLimitAction": _RESPONSES,
    "SecResponseBodyMimeType": _RESPONSES,
    "SecResponseBodyMimeTypesClear": _RESPONSES,
    "SecRuleEngine": "the keys active and mode of [content-filter] say it",
    "SecRulePerfTime": _LOGGING,
    "SecSensorId": _NAMES,
    "SecServerSignature": "[response-rules] sets header fields of answers",
    "SecStatusEngine": "nothing is reported to anybody",
    "SecTmpDir": _FILES,
    "SecTmpSaveUploadedFiles": _FILES,
    "SecUnicodeMapFile": "the mapping that CRS uses, code page 20127, is built in",
    "SecUploadDir": _FILES,
    "SecUploadFileLimit": _LIMITS,
    "SecUploadFileMode": _FILES,
    "SecUploadKeepFiles": _FILES,
    "SecWebAppId": _NAMES,
}
"""Directives that may stand in a file, and say nothing here: each with what says it instead."""

REFUSED: Mapping[str, str] = {
    "SecArgumentSeparator": "arguments are separated by & here",
    "SecCacheTransformations": "the reference engine has it no more",
    "SecChrootDir": "[edge] says how the node is confined",
    "SecContentInjection": "[response-rules] says what is added to answers",
    "SecCookieFormat": "cookies are read as RFC 6265 says",
    "SecCookieV0Separator": "cookies are read as RFC 6265 says",
    "SecHashEngine": "links are not signed here",
    "SecRemoteRules": "fetch the file and name it in rules",
    "SecRemoteRulesFailAction": "fetch the file and name it in rules",
    "SecRuleInheritance": "a content filter is a whole of its own",
    "SecRuleScript": "an [edge-function] runs code",
    "SecXmlExternalEntity": "external entities are never read",
}
"""Directives that are known and refused: each with what is so instead."""

DIRECTIVES: Mapping[str, str] = {
    name.lower(): name for name in (*RULES, *CHANGES, *INCLUDES, *WITHOUT_EFFECT, *REFUSED)
}
"""Every directive by its name in lower case."""

WITH_MEMBERS = frozenset(
    """ARGS ARGS_GET ARGS_GET_NAMES ARGS_NAMES ARGS_POST ARGS_POST_NAMES ENV FILES FILES_NAMES FILES_SIZES
    FILES_TMPNAMES FILES_TMP_CONTENT GEO GLOBAL IP MATCHED_VARS MATCHED_VARS_NAMES MULTIPART_FILENAME MULTIPART_NAME
    MULTIPART_PART_HEADERS REQUEST_COOKIES REQUEST_COOKIES_NAMES REQUEST_HEADERS REQUEST_HEADERS_NAMES RESOURCE
    RESPONSE_HEADERS RESPONSE_HEADERS_NAMES RULE SESSION TX USER XML""".split()  # noqa: SIM905
)
"""The variables that are collections: they have members, which ``:NAME`` chooses."""

WITHOUT_MEMBERS = frozenset(
    """ARGS_COMBINED_SIZE AUTH_TYPE DURATION FILES_COMBINED_SIZE FULL_REQUEST FULL_REQUEST_LENGTH HIGHEST_SEVERITY
    INBOUND_DATA_ERROR MATCHED_VAR MATCHED_VAR_NAME MODSEC_BUILD MSC_PCRE_ERROR MSC_PCRE_LIMITS_EXCEEDED
    MULTIPART_BOUNDARY_QUOTED MULTIPART_BOUNDARY_WHITESPACE MULTIPART_CRLF_LF_LINES MULTIPART_DATA_AFTER
    MULTIPART_DATA_BEFORE MULTIPART_FILE_LIMIT_EXCEEDED MULTIPART_HEADER_FOLDING MULTIPART_INVALID_HEADER_FOLDING
    MULTIPART_INVALID_PART MULTIPART_INVALID_QUOTING MULTIPART_LF_LINE MULTIPART_MISSING_SEMICOLON
    MULTIPART_SEMICOLON_MISSING MULTIPART_STRICT_ERROR MULTIPART_UNMATCHED_BOUNDARY OUTBOUND_DATA_ERROR PATH_INFO
    QUERY_STRING REMOTE_ADDR REMOTE_HOST REMOTE_PORT REMOTE_USER REQBODY_ERROR REQBODY_ERROR_MSG REQBODY_PROCESSOR
    REQBODY_PROCESSOR_ERROR REQBODY_PROCESSOR_ERROR_MSG REQUEST_BASENAME REQUEST_BODY REQUEST_BODY_LENGTH
    REQUEST_FILENAME REQUEST_LINE REQUEST_METHOD REQUEST_PROTOCOL REQUEST_URI REQUEST_URI_RAW RESPONSE_BODY
    RESPONSE_CONTENT_LENGTH RESPONSE_CONTENT_TYPE RESPONSE_PROTOCOL RESPONSE_STATUS SERVER_ADDR SERVER_NAME SERVER_PORT
    SESSIONID STATUS_LINE TIME TIME_DAY TIME_EPOCH TIME_HOUR TIME_MIN TIME_MON TIME_SEC TIME_WDAY TIME_YEAR UNIQUE_ID
    URLENCODED_ERROR USERID WEBAPPID""".split()  # noqa: SIM905
)
"""The variables that have one value."""

PERSISTENT = frozenset(("GLOBAL", "IP", "RESOURCE", "SESSION", "USER"))
"""The collections that outlive a request in the reference engine. What is set in them is forgotten here at once, so
that a rule that looks at them is not supported; those that only set them are."""

UNREADABLE: Mapping[str, str] = {
    **dict.fromkeys((*sorted(PERSISTENT), "SESSIONID", "USERID"), "no collection outlives a request"),
    "ENV": "there is no environment of a request",
    "MODSEC_BUILD": "this is no ModSecurity",
    "MSC_PCRE_ERROR": "regular expressions are compiled to automata, which do not fail",
    "MSC_PCRE_LIMITS_EXCEEDED": "regular expressions are compiled to automata, which do not fail",
}
"""The variables that rules cannot look at, each with the reason."""

SETTABLE = PERSISTENT | {"TX"}
"""The collections that ``setvar`` knows."""


@frozen
class OperatorKind:
    """What is known of an operator before it is compiled.

    :ivar name: as the manual writes it.
    :ivar argument: ``none``, ``text`` (which may be empty), ``needed``, ``number`` or ``files``.
    :ivar unsupported: why it cannot be done here; empty if it can.
    """

    name: str
    argument: str = "needed"
    unsupported: str = ""


_OUTSIDE = "it asks another server while a request waits"
_ON_DISK = "it reads a file for every request"

_OPERATORS = (
    OperatorKind("beginsWith"),
    OperatorKind("contains"),
    OperatorKind("containsWord"),
    OperatorKind("detectSQLi", "none"),
    OperatorKind("detectXSS", "none"),
    OperatorKind("endsWith"),
    OperatorKind("eq", "number"),
    OperatorKind("fuzzyHash", unsupported=_ON_DISK),
    OperatorKind("ge", "number"),
    OperatorKind("geoLookup", "none", "[geo] has the client's address looked up, and GEO is there without it"),
    OperatorKind("gsbLookup", unsupported=_OUTSIDE),
    OperatorKind("gt", "number"),
    OperatorKind("inspectFile", unsupported="it starts a program for every request"),
    OperatorKind("ipMatch"),
    OperatorKind("ipMatchFromFile", "files"),
    OperatorKind("le", "number"),
    OperatorKind("lt", "number"),
    OperatorKind("noMatch", "none"),
    OperatorKind("pm"),
    OperatorKind("pmFromFile", "files"),
    OperatorKind("rbl", unsupported=_OUTSIDE),
    OperatorKind("rsub", unsupported="what is judged is what is forwarded"),
    OperatorKind("rx", "text"),
    OperatorKind("rxGlobal", "text"),
    OperatorKind("streq", "text"),
    OperatorKind("strmatch"),
    OperatorKind("unconditionalMatch", "none"),
    OperatorKind("validateByteRange"),
    OperatorKind("validateDTD", unsupported=_ON_DISK),
    OperatorKind("validateHash", unsupported="links are not signed here"),
    OperatorKind("validateSchema", unsupported=_ON_DISK),
    OperatorKind("validateUrlEncoding", "none"),
    OperatorKind("validateUtf8Encoding", "none"),
    OperatorKind("verifyCC"),
    OperatorKind("verifyCPF"),
    OperatorKind("verifySSN"),
    OperatorKind("verifySVNR"),
    OperatorKind("within", "text"),
)

OPERATORS: Mapping[str, OperatorKind] = {each.name.lower(): each for each in _OPERATORS} | {
    "ipmatchf": OperatorKind("ipMatchFromFile", "files"),
    "pmf": OperatorKind("pmFromFile", "files"),
}
"""Every operator by its name in lower case, and by its short one."""

_TRANSFORMATIONS = """base64Decode base64DecodeExt base64Encode cmdLine compressWhitespace cssDecode escapeSeqDecode
hexDecode hexEncode htmlEntityDecode jsDecode length lowercase md5 none normalizePath normalizePathWin parityEven7bit
parityOdd7bit parityZero7bit removeComments removeCommentsChar removeNulls removeWhitespace replaceComments
replaceNulls sha1 sqlHexDecode trim trimLeft trimRight uppercase urlDecode urlDecodeUni urlEncode utf8toUnicode"""

TRANSFORMATIONS: Mapping[str, str] = {each.lower(): each for each in _TRANSFORMATIONS.split()} | {
    "normalisepath": "normalizePath",
    "normalisepathwin": "normalizePathWin",
}
"""Every transformation by its name in lower case; two have two names."""

DISRUPTIVE = ("allow", "block", "deny", "drop", "pass", "redirect")
"""The actions of which a rule takes the last, and the links of a chain none."""

_FLAGS = ("capture", "chain", "log", "multiMatch", "nolog")
_WITH_VALUES = (
    *("ctl", "id", "initcol", "logdata", "msg", "phase", "setvar", "severity", "skip", "skipAfter", "status", "t"),
    "tag",
)

HARMLESS = (
    *("accuracy", "auditlog", "maturity", "noauditlog", "rev", "ver"),
    *("deprecatevar", "expirevar", "setrsc", "setsid", "setuid"),
    *("sanitiseArg", "sanitiseMatched", "sanitiseMatchedBytes", "sanitiseRequestHeader", "sanitiseResponseHeader"),
)
"""Actions that say nothing here: they are about the audit log or collections that outlive a request, or tell of a rule
what nobody asks."""

UNSUPPORTED_ACTIONS: Mapping[str, str] = {
    "append": "[response-rules] says what is added to answers",
    "exec": "it starts a program; an [edge-function] runs code",
    "pause": "[rate-limit] and [action] slow clients down",
    "prepend": "[response-rules] says what is added to answers",
    "proxy": "[path-map] says which origin is asked",
    "setenv": "there is no environment of a request",
    "xmlns": "namespaces of XML are not resolved",
}
"""Actions that are known and cannot be done: each with the reason."""

ACTIONS: Mapping[str, str] = {
    each.lower(): each for each in (*DISRUPTIVE, *_FLAGS, *_WITH_VALUES, *HARMLESS, *UNSUPPORTED_ACTIONS)
}
"""Every action by its name in lower case."""

WITHOUT_VALUE = frozenset((*_FLAGS, "auditlog", "block", "deny", "drop", "noauditlog", "pass", "sanitiseMatched"))
"""The actions that have no value."""

WITH_VALUE = frozenset((*_WITH_VALUES, "redirect"))
"""The actions that need one."""

SEVERITIES = ("emergency", "alert", "critical", "error", "warning", "notice", "info", "debug")
"""The names of severities; the number of one is its place."""

PHASES: Mapping[str, int] = {"request": 2, "response": 4, "logging": 5} | {str(each): each for each in range(1, 6)}
"""The phases by what stands for them."""

CONTROLS: Mapping[str, str] = {
    each.lower(): each
    for each in (
        *("forceRequestBodyVariable", "requestBodyAccess", "requestBodyProcessor", "responseBodyAccess", "ruleEngine"),
        *("ruleRemoveById", "ruleRemoveByMsg", "ruleRemoveByTag"),
        *("ruleRemoveTargetById", "ruleRemoveTargetByMsg", "ruleRemoveTargetByTag"),
    )
}
"""Every control that changes what comes, by its name in lower case."""

HARMLESS_CONTROLS = frozenset(("auditengine", "auditlogparts", "debugloglevel"))
"""Controls of the audit log, which say nothing here."""

CONTROL_VALUES: Mapping[str, tuple[str, ...]] = {
    "forceRequestBodyVariable": ("on", "off"),
    "requestBodyAccess": ("on", "off"),
    "requestBodyProcessor": ("json", "multipart", "urlencoded", "xml"),
    "responseBodyAccess": ("on", "off"),
    "ruleEngine": ("detectiononly", "off", "on"),
}
"""The values of those that know only some, in lower case."""
