(module
  (memory 1)
  (func $load (param $address i32) (result f64) (f64.load (local.get $address)))
  (func (export "process") (param $tick i64)
    (drop (call $load (i32.const 65530)))))
