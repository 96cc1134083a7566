(module
  (func (export "process") (param $tick i64) (param $time i64)))
