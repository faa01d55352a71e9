# ruff: noqa: E501 - a template is one line.
"""Makers that rules are written for, with look-alikes of each."""

from __future__ import annotations

from tests.data.redaction.makers import Kind, json_of

_PYDANTIC = {"type": "int_parsing", "loc": ["body", "note"], "msg": "Input should be an integer", "input": "<s>"}

KINDS: dict[str, Kind] = {
    "validation_text": Kind(
        {
            "pydantic": [
                "1 validation error for Note\ncount\n  Input should be an integer [type=int_parsing, input_value='<s>', input_type=str]",
                str([_PYDANTIC]),
                json_of({"detail": [_PYDANTIC]}),
            ],
            "msgspec": ["Invalid enum value '<s>' - at `$.mode`", "ValidationError: Invalid enum value '<s>'"],
            "jsonschema": [
                "'<s>' is not of type 'integer'",
                "'<s>' does not match '^[a-z]+$'",
                "'<s>' is not one of ['a', 'b']",
                "'<s>' is too long",
                '"<s>" is not a "uuid"',
            ],
            "drf": ['{"mode": ["\\"<s>\\" is not a valid choice."]}', "{'mode': [ErrorDetail(string='\"<s>\" is not a valid choice.', code='invalid_choice')]}"],
            "django": ["['\u201c<s>\u201d value must be an integer.']", "Select a valid choice. <s> is not one of the available choices.", "['\u201c<s>\u201d is not a valid UUID.']"],
            "zod": [
                "Invalid enum value. Expected 'a' | 'b', received '<s>'",
                json_of([{"code": "invalid_enum_value", "received": "<s>", "path": ["mode"], "message": "x"}]),
            ],
            "ajv": [json_of([{"instancePath": "/note", "keyword": "type", "message": "must be integer", "data": "<s>"}])],
            "class-validator": [json_of({"target": {"note": "<s>"}, "value": "<s>", "property": "note", "constraints": {}})],
            "spring": [
                "Field error in object 'user' on field 'password': rejected value [<s>]; codes [Size.user.password]",
                json_of({"field": "note", "rejectedValue": "<s>", "defaultMessage": "size"}),
            ],
            "graphql-js": ['Variable "$password" got invalid value "<s>"; Expected type Int.', 'Int cannot represent non-integer value: "<s>"', 'Value "<s>" does not exist in "Mode" enum.', 'Expected value of type "Int!", found "<s>".'],
            "go": ['strconv.Atoi: parsing "<s>": invalid syntax', 'parsing time "<s>" as "2006-01-02": cannot parse "x" as "2006"'],
            "cattrs": ["invalid value for type, expected int @ $.note, got '<s>'", "'mode' must be in ['a', 'b'] (got '<s>')"],
        },
        {
            "pydantic": ["raise ValidationError(errors)", "There were 3 validation errors"],
            "jsonschema": ["'note' is a required property", "Additional properties are not allowed", "'a' is not in list of names", "name 'x' is not defined"],
            "drf": ['{"mode": ["This field is required."]}', '{"email": ["Enter a valid email address."]}'],
            "zod": ["Expected number, received string", "Required"],
            "ajv": [json_of([{"instancePath": "/note", "keyword": "type", "message": "must be integer"}])],
            "graphql-js": ['Cannot query field "rooms" on type "Query".', 'Variable "$id" of required type "ID!" was not provided.'],
            "go": ["Key: 'User.Name' Error:Field validation for 'Name' failed on the 'min' tag", "parsing config: done"],
            "spring": ["Field error in object 'user' on field 'name': size must be between 0 and 9"],
            "attrs": ["got 3 items", "received 12 bytes", "got '200 OK' from upstream"],
        },
        sentences=True,
    ),
    "validation_value": Kind(
        {
            "pydantic": [_PYDANTIC, {"errors": [{"loc": ["body", "password"], "input": "<s>"}]}],
            "ajv": [{"instancePath": "/password", "schemaPath": "#/x", "keyword": "minLength", "data": "<s>"}],
            "class-validator": [{"target": {"x": "<s>"}, "property": "password", "value": "<s>"}],
            "hibernate": [{"propertyPath": "user.password", "message": "size", "invalidValue": "<s>"}],
            "fastjsonschema": [{"path": ["data", "note"], "message": "must be integer", "value": "<s>"}],
            "plain": [{"field": "password", "value": "<s>"}, {"param": "token", "received": "<s>"}, {"pointer": "/user/pin", "actual": "<s>"}],
        },
        {
            "pydantic": [{"loc": "Berlin", "input": "stdin"}, {"location": ["hall 3"], "input": "stdin"}],
            "plain": [{"field": "rows", "value": 3}, {"name": "page", "value": "2"}, {"path": "/rooms", "data": [1, 2]}],
            "probe": [{"name": "redis", "data": {"latency_ms": 3}, "message": "ok"}],
        },
        sentences=True,
    ),
    "pair_text": Kind(
        {
            "python": ["(b'x-api-key', b'<s>')", '["x-auth-token", "<s>"]', "[('password', '<s>')]", "Header(name='password', value='<s>')"],
            "json": [json_of({"name": "Authorization", "value": "<s>"}), json_of(json_of({"name": "Authorization", "value": "<s>"})), json_of({"value": "<s>", "key": "token"})],
            "xml": ['<header name="Authorization" value="<s>"/>', '<header value="<s>" name="Authorization"/>', "<password><s></password>", "<param name='password'><s></param>"],
            "ruby": ['{:password=>"<s>"}', '{"password"=>"<s>", "a"=>1}', 'password: "<s>"'],
            "perl": ["$VAR1 = { 'password' => '<s>' };", "['x-api-key' => '<s>']"],
            "toml": ["password = '<s>'", "[db]\npassword=<s>\n", "password: <s>"],
            "kotlin": ["(password, <s>)", "Pair(first=password, second=<s>)"],
            "env": ["DB_PASSWORD=<s>\nPATH=/bin", "export API_TOKEN='<s>'", "ENV['SECRET_KEY'] = '<s>'"],
            "curl": ["curl -H 'X-Api-Key: <s>' https://a.example", "curl -u ada:<s> https://a.example", "['curl', '-H', 'X-Api-Key: <s>']"],
            "multipart": ['content-disposition: form-data; name="password"\r\n\r\n<s>\r\n--b'],
        },
        {
            "python": ["fields: ('name', 'password')", "required: ['password', 'email']", '["a", "b"]', "(b'accept', b'text/html')"],
            "json": [json_of({"name": "page", "value": "2"}), json_of(["password", "email", "name"]), json_of({"required": ["token", "user"]})],
            "xml": ['<header name="Accept" value="text/html"/>', "<page>2</page>"],
            "kotlin": ["(password, email)", "(token, user_id)", "Pair(first=page, second=2)"],
        },
    ),
    "named_elsewhere": Kind(
        {
            "sql": ["INSERT INTO users (name, password) VALUES ('ada', '<s>')", "REPLACE INTO `t` (`api_key`, `n`) VALUES ('<s>', 3), ('<s>', 4)"],
            "tables": ["name,email,password\nada,a,<s>", " name | password\n------+------\n ada  | <s>", "COPY users (name, password) FROM stdin;\nada\t<s>"],
            "sentence": ["'<s>' is not a valid value for password", 'Optional("<s>") for key password', "using '<s>' as the password for ada"],
            "windows": ["net use X: https://srv/dav <s> /user:ada", "cmdkey /generic:srv /user:ada /pass:<s>", "net user /add ada <s>"],
            "valkey": ["user ada on ><s> ~* +@all", "valkey-cli --user ada --pass <s>", "['AUTH', 'ada', '<s>']"],
            "php": ["PDO->__construct('mysql:host=db', 'root', '<s>')", "setx DB_PASSWORD <s>"],
        },
        {
            "sql": ["INSERT INTO users (name, password) VALUES ($1, $2)", "INSERT INTO rooms (name, n) VALUES ('hall', 3)"],
            "sentence": ["using 'token' as key", "'Bearer' as token type", "default value for password is None"],
            "windows": ["net use X: /delete", "net localgroup users ada /add", "net stop spooler"],
            "valkey": ["user default on nopass ~* +@all", "AUTH command requires a password", "HELLO 3 SETNAME web"],
        },
    ),
    "query_credential": Kind(
        {
            "line": ["GET /ws?ticket=<s> HTTP/1.1", '"GET /cb?code=<s>&state=abc12345 HTTP/1.1" 302', "GET /v1?a=b&key=<s> HTTP/1.1"],
            "url": ["https://a.example/data?appid=<s>", "wss://a.example/ws?ticket=<s>&v=1", "https://a.example/?key=<s>", "https://a.example/x?sig=<s>"],
            "path": ["/data/2.5/weather?q=Mainz&appid=<s>", "/f?X-Amz-Signature=<s>&X-Amz-Date=1", "/f?X-Amz-Credential=<s>"],
            "sas": ["https://a.example/c?sv=2022&sig=<s>&se=2026", "?sv=2022&sig=<s>"],
            "variants": ["/a?access_token=<s>", "/a?t=1&auth_token=<s>", "/a?tkn=<s>", "/a?jwt=<s>", "/a?apikey=<s>"],
        },
        {
            "lines": ["key=room:7", "lookup key=room:7 hit", "ticket=4711 closed", "code=200 state=ready", "appid=shop started"],
            "urls": ["GET /rooms?page=2&sort=name HTTP/1.1", "/a?sort=key", "/a?code=404", "/x?key=room:7", "/x?key=name&order=asc"],
        },
    ),
    "harmless": Kind(
        {},
        {
            "numbers": ["elapsed 12.3456, 13.4567 s", "ratio 12.34567/45.67891", "loss 12.3456 12.2345", "p50 12.3456 p99 45.6789", "load 12.1234, 13.2345, 14.3456"],
            "signs": ["temp +12345678", "diff +1234567 -123", "delta +12345678 bytes", "offset +1234567890"],
            "words": ["pass: 12 fail: 3", "lat=3.2ms", "lat: 3.2 ms", "pin: 3 of 4", "auth: 3 ok, 1 failed", "geo=eu-west", "sig: SIGTERM"],
            "forms": ["{'email': ['Not a valid email address.']}", '{"password": ["Too short."]}', '{"phone": "This field may not be blank."}'],
            "not": ["tokens: 12", "cookies: 3", "secrets: 0 found"],
        },
    ),
}  # fmt: skip
