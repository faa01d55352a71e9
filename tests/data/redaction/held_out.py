# ruff: noqa: E501 - a template is one line.
"""Makers that no rule was written for. A rule is changed for a whole kind of text only, and never for one of them."""

from __future__ import annotations

from tests.data.redaction.makers import Kind, json_of

KINDS: dict[str, Kind] = {
    "validation_text": Kind(
        {
            "joi": [
                'ValidationError: "password" with value "<s>" fails to match the required pattern: /^[a-z]+$/',
                '"note" with value "<s>" fails to match the letters pattern',
                json_of({"details": [{"message": '"age" must be a number', "path": ["age"], "context": {"value": "<s>"}}]}),
            ],
            "yup": [
                'age must be a `number` type, but the final value was: `NaN` (cast from the value `"<s>"`).',
                'password must match the following: "/^x/", but the final value was: `"<s>"`.',
            ],
            "hibernate": [
                "ConstraintViolationImpl{interpolatedMessage='must be a number', propertyPath=note, invalidValue=<s>}",
                "invalid value '<s>' for propertyPath=password, message=size must be between 8 and 64",
            ],
            "voluptuous": [
                "expected int for dictionary value @ data['note']. Got '<s>'",
                "length of value must be at most 3 for dictionary value @ data['password']. Got '<s>'",
            ],
            "dotnet": [
                "The value '<s>' is not valid for Password.",
                "The JSON value '<s>' could not be converted to System.Int32. Path: $.note | LineNumber: 0",
                "The input string '<s>' was not in a correct format.",
            ],
            "serde": [
                'invalid type: string "<s>", expected u32 at line 1 column 20',
                'invalid value: string "<s>", expected a date at line 1 column 9',
                "unknown variant `<s>`, expected one of `a`, `b`",
            ],
            "jackson": [
                'Cannot deserialize value of type `int` from String "<s>": not a valid `int` value',
                'JSON parse error: Cannot deserialize value of type `java.util.UUID` from String "<s>": UUID has to be',
            ],
            "graphql-java": [
                "Variable 'password' has an invalid value: Expected type 'Int' but was '<s>'.",
                "Validation error (WrongType@[send]) : argument 'text' with value 'StringValue{value='<s>'}' is not a valid 'Int'",
            ],
            "python": [
                "invalid literal for int() with base 10: '<s>'",
                "could not convert string to float: '<s>'",
                "Invalid isoformat string: '<s>'",
                "time data '<s>' does not match format '%Y-%m-%d'",
            ],
            "symfony": [
                'Object(App\\Entity\\User).password: This value is not valid. (code 1) invalid value "<s>"',
                'The value "<s>" is not a valid choice.',
            ],
        },
        {
            "joi": ['"password" is not allowed to be empty', '"age" must be a number', '"email" is required'],
            "yup": ["password must be at least 8 characters", "email is a required field"],
            "hibernate": ["propertyPath=note, interpolatedMessage='must not be blank'"],
            "voluptuous": ["required key not provided @ data['note']", "extra keys not allowed @ data['x']"],
            "dotnet": ["The Password field is required.", "One or more validation errors occurred."],
            "serde": ["missing field `note` at line 1 column 2", "EOF while parsing a value at line 1 column 0"],
            "python": ["name 'tokens' is not defined", "module 'jwt' has no attribute 'x'", "KeyError: 'note'"],
            "symfony": ["This value should not be blank.", "This field is missing."],
            "rails": ["Validation failed: Password is too short (minimum is 8 characters)", "Email is invalid"],
        },
        sentences=True,
    ),
    "validation_value": Kind(
        {
            "joi": [{"message": "is not valid", "path": ["note"], "type": "any.only", "context": {"value": "<s>"}}],
            "nest": [{"property": "note", "value": "<s>", "constraints": {"isInt": "must be an integer"}}],
            "express": [{"type": "field", "value": "<s>", "msg": "Invalid value", "path": "password", "location": "body"}],
            "symfony": [{"propertyPath": "note", "title": "This is too short.", "invalidValue": "<s>"}],
            "spring": [{"field": "password", "rejectedValue": "<s>", "code": "Size", "objectName": "user"}],
            "rfc9457": [{"pointer": "#/password", "detail": "too short", "value": "<s>"}],
            "fluent": [{"PropertyName": "Note", "ErrorMessage": "is not valid", "AttemptedValue": "<s>"}],
            "zod": [{"code": "invalid_enum_value", "received": "<s>", "path": ["mode"], "message": "Invalid"}],
            "openapi": [{"param": "password", "got": "<s>"}, {"field": "pin", "actual": "<s>"}],
            "cerberus": [{"document_path": ["password"], "value": "<s>", "rule": "minlength"}],
        },
        {
            "joi": [{"message": "is required", "path": ["note"], "type": "any.required"}],
            "metrics": [{"name": "divan_http_requests_total", "value": 12}, {"field": "rows", "value": 3}],
            "feature": [{"path": "/rooms", "data": {"rows": 3}}, {"name": "theme", "value": "dark"}],
            "test": [{"actual": 200, "expected": 404, "name": "status"}, {"param": "page", "got": 2}],
        },
        sentences=True,
    ),
    "pair_text": Kind(
        {
            "har": [json_of({"headers": [{"name": "X-Api-Key", "value": "<s>"}]}), json_of({"value": "<s>", "name": "Authorization"})],
            "java": ["{user=ada, password=<s>}", "[Header(name=Authorization, value=<s>)]", "Entry[key=token, value=<s>]"],
            "rust": ['("authorization", "<s>")', '{"x-api-key": "<s>"}', 'HeaderName("x-api-key"), Value("<s>")'],
            "go": ["map[X-Api-Key:[<s>] Accept:[a]]", 'http.Header{"Authorization":[]string{"<s>"}}', '{Name:password Value:<s>}'],
            "php": ["Array\n(\n    [password] => <s>\n    [a] => b\n)", "array(1) { [\"password\"]=> string(9) \"<s>\" }", 's:8:"password";s:9:"<s>";'],
            "elixir": ['%{"password" => "<s>", "a" => 1}', 'password: "<s>", a: 1', '[{"x-api-key", "<s>"}]'],
            "csharp": ["[Authorization, <s>]", "{ Name = password, Value = <s> }", 'new("X-Api-Key", "<s>")'],
            "swift": ['["password": "<s>"]', '(key: "token", value: "<s>")', 'URLQueryItem(name: "token", value: "<s>")'],
            "xml": ["<entry key='password'><s></entry>", "<property name=\"token\" value=\"<s>\"/>", "<add key=\"ApiKey\" value=\"<s>\" />"],
            "hcl": ['password = "<s>"', 'set {\n  name  = "db.password"\n  value = "<s>"\n}'],
            "k8s": ["- name: DB_PASSWORD\n  value: <s>", "  - name: API_TOKEN\n    value: \"<s>\""],
            "node": ["[ 'x-api-key', '<s>', 'accept', 'a' ]", "Headers { 'x-api-key': '<s>' }", "rawHeaders: [ 'Authorization', '<s>' ]"],
        },
        {
            "java": ["[Header(name=Accept, value=text/html)]", "Entry[key=page, value=2]"],
            "go": ["map[Accept:[a] Host:[b]]", "{Name:page Value:2}"],
            "php": ["Array\n(\n    [page] => 2\n)"],
            "node": ["[ 'accept', 'text/html' ]", "[ 'password', 'email', 'name' ]", "required: ['token', 'user']"],
            "k8s": ["- name: LOG_LEVEL\n  value: info", "name: web\nvalue: 3"],
            "xml": ['<add key="page" value="2" />', '<input type="password" name="pw" required/>'],
            "swift": ['(key: "page", value: "2")', '["rooms": "3"]'],
        },
    ),
    "named_elsewhere": Kind(
        {
            "sqlserver": ["INSERT dbo.Users (Login, Pwd) OUTPUT inserted.Id VALUES ('ada', '<s>')", "INSERT INTO Users (Id, ApiKey) VALUES (NEWID(), N'<s>')"],
            "cassandra": ["INSERT INTO ks.users (name, password) VALUES ('ada', '<s>') IF NOT EXISTS USING TTL 3"],
            "dump": ["INSERT INTO `users` (`id`, `secret`) VALUES\n(1,'a'),\n(2,'<s>');", "name\tapi_token\nada\t<s>"],
            "go": ['invalid value "<s>" for flag -password: parse error'],
            "clap": ["error: invalid value '<s>' for '--token <TOKEN>': invalid digit found in string"],
            "kotlin": ["Unexpected value '<s>' for property 'password'"],
            "imap": ["b'KLPM1 LOGIN ada <s>\\r\\n'", "C: a002 LOGIN ada@x.example <s>"],
            "java": ['new JdbcTemplate(DriverManager.getConnection("jdbc:h2:mem", "sa", "<s>"))'],
        },
        {
            "sqlserver": ["INSERT dbo.Rooms (Name, Rows) VALUES ('hall', 3)", "INSERT dbo.Users (Login, Pwd) VALUES (@login, @pwd)"],
            "go": ["flag needs an argument: -password"],
            "clap": ["error: a value is required for '--token <TOKEN>' but none was supplied"],
            "imap": ["* CAPABILITY IMAP4rev1 LOGIN-REFERRALS AUTH=PLAIN", "a1 NO LOGIN failed."],
        },
    ),
    "query_credential": Kind(
        {
            "google": ["GET https://maps.example/api?address=a&key=<s> 200", '"GET /maps/api/js?key=<s>&v=3 HTTP/1.1" 200'],
            "wechat": ["https://api.example/cgi-bin/token?appid=<s>&grant_type=x", "GET /sns/auth?js_code=<s>&grant_type=a HTTP/1.1"],
            "cas": ["/login/cas?ticket=ST-<s>", "POST /serviceValidate?service=a&ticket=<s> HTTP/1.1"],
            "oauth": ["https://app.example/callback?state=xyz12345&code=<s>", "GET /oauth2/cb?code=<s>&scope=a&state=b12 HTTP/1.1"],
            "azure": ["https://a.blob.example/c/f.png?sv=2022-11-02&se=2026&sr=b&sp=r&sig=<s>", "/api/fn?code=<s>&clientId=default"],
            "aliyun": ["https://b.oss.example/o?OSSAccessKeyId=LTAI&Expires=1&Signature=<s>", "/o?x-oss-signature=<s>&x-oss-date=1"],
            "plex": ["http://h:32400/library?X-Plex-Token=<s>", "/photo?X-Plex-Token=<s>&width=3"],
            "cdn": ["https://c.example/v.m3u8?hdnts=<s>", "https://c.example/v?verify=<s>", "https://c.example/v?md5=<s>&expires=9"],
            "mail": ["https://a.example/unsubscribe?hash=<s>", "https://a.example/confirm?confirmation=<s>", "https://a.example/login?magic=<s>"],
            "socketio": ["GET /socket.io/?EIO=4&transport=websocket&sid=<s> HTTP/1.1", "/socket.io/?auth=<s>&EIO=4"],
        },
        {
            "lines": ["key=room:7 evicted", "cache miss key=users:page:3", "code=E1234 returned", "exit code=137", "state=running"],
            "urls": ["GET /rooms?sort=key&page=2 HTTP/1.1", "/errors?code=404", "/search?q=ticket&page=1", "/a?state=open"],
            "yaml": ["key: value", "ticket: none", "code: 200"],
        },
    ),
    "harmless": Kind(
        {},
        {
            "pytest": ["4 passed, 1 skipped in 12.3456s", "durations: 0.1234s call, 0.2345s setup", "pass: 31, fail: 0, skip: 2"],
            "training": ["step 100 loss 10.4821 11.2034", "lr 12.3456, 13.4567 epoch 3", "val 12.34567 / 45.67891 acc", "grad norm 15.2344, 16.2344"],
            "git": ["+1234567 -123 lines", "3 files changed, +12345678", "@@ -1234567,7 +1234567,9 @@"],
            "sensors": ["pressure +12345678 Pa", "voltage 12.3456, 12.3457 V", "cpu 45.1234 46.2345 %", "temp: 21.4567, 22.5678 C"],
            "latency": ["lat: 12.5 ms", "lat=45us p99=3ms", "avg lat=0.32s", "lat (usec): min=3, max=45, avg=5.62, stdev=1.10", "clat percentiles (usec): 50.0000, 99.0000"],
            "checks": ["auth: 3 ok", "auth=ok", "token: 3 left", "pin: unpinned", "pass=12 fail=0", "secret: 2 found", "cookies: 4 set", "tokens: 120 in, 33 out"],
            "forms": ['{"email": ["Enter a valid email address."]}', '{"password": ["This field is required."]}', "{'phone': ['Enter a valid phone number.']}", '{"errors": {"token": "is invalid"}}'],
            "gc": ["gc 12.3456 13.4567 ms", "heap 120.1234, 130.2345 MB", "rss +12345678 bytes"],
        },
    ),
}  # fmt: skip
