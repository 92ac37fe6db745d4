# What is wrong with lines of JSON by docs/schema.json; nothing: null. Knows the part of JSON Schema that
# this file uses, and is stricter in one thing: what "properties" does not name is wrong.
#	jq -n --slurpfile schema docs/schema.json -f tests/schema.jq FILE
$schema[0] as $root

| def resolved:
	if has("$ref") then
		($root["$defs"][.["$ref"] | ltrimstr("#/$defs/")] | resolved) as $base
		| ($base + del(.["$ref"]))
		+ (if has("properties") and ($base | has("properties")) then
			{properties: ($base.properties + .properties), required: ($base.required + .required)}
		   else {} end)
	else . end;

def is($name):
	if $name == "integer" then type == "number" and (tostring | test("^-?[0-9]+$|e[+]")) else type == $name end;

def errors($given; $path):
	. as $value | ($given | resolved) as $s
	| (if $s | has("const") then select($value != $s.const) | "\($path): not \($s.const)" else empty end),
	(if $s | has("enum") then select(any($s.enum[]; . == $value) | not) | "\($path): \($value) is not in \($s.enum)"
	 else empty end),
	(if $s | has("type") then
		select(any($s.type | if type == "array" then .[] else . end; . as $t | $value | is($t)) | not)
		| "\($path): \($value) is not of \($s.type)" else empty end),
	(if ($s | has("minimum")) and ($value | type == "number") then
		select($value < $s.minimum) | "\($path): \($value) is less than \($s.minimum)" else empty end),
	(if $s.format == "date-time" or ($path | test("time$")) then
		select($value != null and ($value | test(
			"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{3}[+-][0-9]{2}:[0-9]{2}$") | not))
		| "\($path): \($value) is no time" else empty end),
	(if ($value | type) == "array" and ($s | has("items")) then
		range($value | length) as $i | $value[$i] | errors($s.items; "\($path)[\($i)]") else empty end),
	(if ($value | type) == "object" then
		(($s.required // []) - ($value | keys) | .[] | "\($path).\(.): missing"),
		(if $s | has("properties") then
			$value | keys[] as $key
			| if $s.properties | has($key) then .[$key] | errors($s.properties[$key]; "\($path).\($key)")
			  else "\($path).\($key): not in the schema" end
		 elif $s | has("additionalProperties") then
			$value | keys[] as $key | .[$key] | errors($s.additionalProperties; "\($path).\($key)")
		 else empty end)
	 else empty end);

# Of anyOf the one whose constants the line has: what is wrong with the others tells nothing.
[$root.anyOf[] | resolved | {schema: ., consts: (.properties | map_values(.const) | with_entries(select(.value != null)))}]
	as $kinds
| [inputs | . as $line
	| [$kinds[] | select(.consts as $c | all($c | keys[]; $line[.] == $c[.]))] as $fits
	| if $fits | length != 1 then "\($fits | length) schemas fit \($line | tostring | .[:200])"
	  else first($line | errors($fits[0].schema; ($line.table // $line.scope))) end]
| if length == 0 then null else unique[:10] end
