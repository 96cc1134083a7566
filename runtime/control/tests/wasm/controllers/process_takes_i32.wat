(module
  (func (export "process") (param $tick i32)))
