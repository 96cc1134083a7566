;; wasmtime's C API aborts when it is asked for this type: it must be refused before.
(module
  (func (export "process") (param v128)))
