(module
  (func $wait_for_ever (loop $again (br $again)))
  (start $wait_for_ever)
  (func (export "process") (param $tick i64)))
