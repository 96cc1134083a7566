(module
  (import "safety" "request_estop" (func $request_estop))
  (start $request_estop)
  (func (export "process") (param $tick i64)))
