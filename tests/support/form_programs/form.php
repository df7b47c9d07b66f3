<?php
// What PHP reads of a form, as a line of JSON.
$found = [];
$walk = function ($name, $value) use (&$walk, &$found) {
    if (is_array($value)) { foreach ($value as $key => $inner) { $walk($name . "[" . $key . "]", $inner); } }
    else { $found[] = [bin2hex($name), bin2hex($value)]; }
};
foreach ($_POST as $name => $value) { $walk((string)$name, $value); }
foreach ($_FILES as $name => $file) {
    if (is_string($file["tmp_name"]) && $file["error"] === 0) { $found[] = [bin2hex($name), bin2hex(file_get_contents($file["tmp_name"]))]; }
}
header("Content-Type: application/json");
echo "\n", json_encode($found);
