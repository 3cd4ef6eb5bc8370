// Windows programs whose imports, taken together, are what a technique needs. One such function alone says nothing.

import "pe"

rule imports_process_injection : imports {
  meta:
    description = "Can write into another process and run code there"
    severity = "suspicious"
    score = 60
    attack = "T1055 Process Injection"
  condition:
    pe.is_pe
    and pe.imports(/./, /^VirtualAllocEx(Numa)?$/i) > 0
    and pe.imports(/./, /^(Nt|Zw)?Write(Process|Virtual)Memory$/i) > 0
    and pe.imports(/./, /^(CreateRemoteThread(Ex)?|RtlCreateUserThread|(Nt|Zw)CreateThreadEx|QueueUserAPC)$/i) > 0
}

rule imports_process_hollowing : imports {
  meta:
    description = "Can replace the program of a process that it started"
    severity = "suspicious"
    score = 70
    attack = "T1055.012 Process Hollowing"
  condition:
    pe.is_pe
    and pe.imports(/./, /^(Nt|Zw)UnmapViewOfSection$/i) > 0
    and pe.imports(/./, /^(Nt|Zw)?Write(Process|Virtual)Memory$/i) > 0
    and pe.imports(/./, /^(Wow64|Nt|Zw)?SetThreadContext|(Nt|Zw)SetContextThread$/i) > 0
    and pe.imports(/./, /^(Nt|Zw)?ResumeThread$/i) > 0
}

rule imports_keylogging : imports {
  meta:
    description = "Can watch the keyboard of other programs"
    severity = "suspicious"
    score = 50
    attack = "T1056.001 Keylogging"
  condition:
    pe.is_pe
    and pe.imports(/./, /^SetWindowsHookEx[AW]$/i) > 0
    and pe.imports(/./, /^(GetAsyncKeyState|GetKeyboardState)$/i) > 0
    and pe.imports(/./, /^GetForegroundWindow$/i) > 0
}

rule imports_anti_debug : imports {
  meta:
    description = "Looks for a debugger in more than one way"
    severity = "suspicious"
    score = 40
    attack = "T1622 Debugger Evasion"
  condition:
    pe.is_pe
    and pe.imports(/./, /^CheckRemoteDebuggerPresent$/i) > 0
    and pe.imports(/./, /^((Nt|Zw)QueryInformationProcess|(Nt|Zw)SetInformationThread|OutputDebugString[AW])$/i) > 0
}

rule imports_download_and_run : imports {
  meta:
    description = "Can download a file and run it"
    severity = "suspicious"
    score = 50
    attack = "T1105 Ingress Tool Transfer"
  condition:
    pe.is_pe
    and pe.imports(/urlmon/i, /^URLDownloadToFile[AW]$/i) > 0
    and pe.imports(/./, /^(ShellExecute(Ex)?[AW]|WinExec|CreateProcess[AW])$/i) > 0
}

rule imports_process_dump : imports {
  meta:
    description = "Can write the memory of another process to a file, as thieves of passwords do"
    severity = "suspicious"
    score = 40
    attack = "T1003.001 LSASS Memory"
  condition:
    pe.is_pe
    and pe.imports(/db(ghelp|gcore)/i, /^MiniDumpWriteDump$/i) > 0
    and pe.imports(/./, /^OpenProcess$/i) > 0
    and pe.imports(/./, /^AdjustTokenPrivileges$/i) > 0
}
