// Scripts, and documents and shortcuts that hold them. Programs of the system that are no scripts are left alone, as
// interpreters and scanners name these things too.

private rule native_program {
  condition:
    uint32be(0) == 0x7f454c46
}

rule script_powershell_encoded_command : script powershell {
  meta:
    description = "Starts PowerShell with a command in Base64"
    severity = "suspicious"
    score = 70
    attack = "T1059.001 PowerShell"
  strings:
    $command = /(powershell|pwsh)(\.exe)?["']?\s[^\r\n]{0,200}[-\/]e(n|nc|nco|ncod|ncodedcommand|c)?\s+["']?[A-Za-z0-9+\/]{40}/ nocase ascii wide
  condition:
    not native_program and $command
}

rule script_powershell_download_cradle : script powershell {
  meta:
    description = "PowerShell that downloads code and runs it without a file"
    severity = "suspicious"
    score = 70
    attack = "T1059.001 PowerShell"
  strings:
    $run = /\b(IEX|Invoke-Expression)\b/ nocase ascii wide
    $client = /\bNet\.WebClient\b[^\r\n]{0,80}\.Download(String|Data)\b/ nocase ascii wide
    $request = /\b(Invoke-WebRequest|Invoke-RestMethod|iwr|irm)\b[^\r\n]{0,200}\bhttps?:\/\// nocase ascii wide
  condition:
    not native_program and filesize < 4MB and $run and any of ($client, $request)
}

rule script_vbs_dropper : script vbs {
  meta:
    description = "VBScript that downloads or decodes a file, saves it and runs it"
    severity = "suspicious"
    score = 70
    attack = "T1059.005 Visual Basic"
  strings:
    $create = /\bCreateObject\s*\(/ nocase ascii wide
    $shell = /\b(WScript\.Shell|Shell\.Application)\b/ nocase ascii wide
    $stream = "ADODB.Stream" nocase ascii wide
    $save = /\.SaveToFile\b/ nocase ascii wide
    $http = /\b(MSXML2\.(Server)?XMLHTTP|Microsoft\.XMLHTTP|WinHttp\.WinHttpRequest)\b/ nocase ascii wide
    $base64 = "bin.base64" nocase ascii wide
  condition:
    not native_program and filesize < 4MB and $create and $shell and $stream and $save and any of ($http, $base64)
}

rule script_js_dropper : script js {
  meta:
    description = "JScript that downloads or saves a file and runs it through Windows Script Host"
    severity = "suspicious"
    score = 70
    attack = "T1059.007 JavaScript"
  strings:
    $create = /\b(new\s+ActiveXObject|WScript\.CreateObject)\s*\(/ nocase ascii wide
    $shell = /\b(WScript\.Shell|Shell\.Application)\b/ nocase ascii wide
    $get = /\b(MSXML2\.(Server)?XMLHTTP|Microsoft\.XMLHTTP|WinHttp\.WinHttpRequest|ADODB\.Stream)\b/ nocase ascii wide
    $run = /\.(Run|Exec|ShellExecute)\s*\(/ nocase ascii wide
  condition:
    not native_program and filesize < 4MB and all of them
}

rule script_reverse_shell : script shell {
  meta:
    description = "Hands a shell to another machine"
    severity = "malicious"
    score = 80
    attack = "T1059.004 Unix Shell"
  strings:
    $dev_tcp = /\b(ba|z|k|)sh\s+-i\s[^\r\n]{0,20}\/dev\/(tcp|udp)\/[^\s\/]{1,255}\/\d{1,5}/
    $exec_tcp = /\bexec\s+\d+<>\s?\/dev\/tcp\/[^\s\/]{1,255}\/\d{1,5}[^\x00]{0,200}\b(ba|)sh\b/
    $netcat = /\bn(c|cat|etcat)(\.traditional)?\s[^\r\n|]{0,80}(-e|-c)\s*\/bin\/(ba|da|)sh\b/
    $fifo = /\bmkfifo\s[^\r\n]{0,80}\/bin\/(ba|da|)sh\s+-i[^\r\n]{0,40}\|\s*n(c|cat|etcat)\s/
    $python = /\bsocket\.socket\([^\x00]{0,400}\bos\.dup2\([^\x00]{0,400}["']\/bin\/(ba|da|)sh["']/
    $perl = /\buse\s+Socket;[^\x00]{0,400}open\(STDIN,[^\x00]{0,200}exec\s*[({"'\s]+\/bin\/(ba|da|)sh\s+-i/
  condition:
    not native_program and filesize < 4MB and any of them
}

rule script_download_to_shell : script shell {
  meta:
    description = "Runs what it downloads without looking at it, as installers and droppers do"
    severity = "info"
    score = 20
    attack = "T1059.004 Unix Shell"
  strings:
    $pipe = /\b(curl|wget)\s[^\r\n|;]{0,200}\bhttps?:\/\/[^\r\n|;]{1,200}\|\s*(sudo\s+)?(ba|da|z|)sh\b/
  condition:
    not native_program and filesize < 4MB and $pipe
}

rule script_macro_autoexec : script macro {
  meta:
    description = "A macro that runs when its document is opened, and starts programs or downloads"
    severity = "suspicious"
    score = 60
    attack = "T1204.002 Malicious File"
  strings:
    $module = "Attribute VB_" ascii
    $auto = /\b(Auto_?Open|Document_Open|Workbook_Open|Auto_?Exec|AutoClose|Document_Close)\b/ nocase ascii wide
    $act = /\b(WScript\.Shell|Shell\.Application|URLDownloadToFile|MSXML2\.(Server)?XMLHTTP|powershell|ShellExecute)/ nocase ascii wide
    $call = /\bShell[\s(]+["'A-Za-z]/ ascii
  condition:
    not native_program and $module and $auto and any of ($act, $call)
}
