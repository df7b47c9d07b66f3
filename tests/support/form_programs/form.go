// What net/http reads of a form: a line of JSON for each line [type, body in Base64].
package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		var asked [2]string
		json.Unmarshal([]byte(line), &asked)
		data, _ := base64.StdEncoding.DecodeString(asked[1])
		request, _ := http.NewRequest("POST", "/", bytes.NewReader(data))
		request.Header.Set("Content-Type", asked[0])
		found := [][2]string{}
		if request.ParseMultipartForm(1<<20) == nil {
			for name, values := range request.MultipartForm.Value {
				for _, value := range values {
					found = append(found, [2]string{hex.EncodeToString([]byte(name)), hex.EncodeToString([]byte(value))})
				}
			}
			for name, files := range request.MultipartForm.File {
				for _, each := range files {
					file, _ := each.Open()
					content, _ := io.ReadAll(file)
					found = append(found, [2]string{hex.EncodeToString([]byte(name)), hex.EncodeToString(content)})
				}
			}
		}
		answer, _ := json.Marshal(found)
		fmt.Println(string(answer))
	}
}
